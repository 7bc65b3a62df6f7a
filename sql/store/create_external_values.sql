-- what: external tables as timelines, append-only: from `time` on the column has this value; of equal moments the last seq holds
-- params: none
-- rows: none
CREATE TABLE external_values (
    seq BIGINT NOT NULL,
    source VARCHAR NOT NULL,
    "column" VARCHAR NOT NULL,
    user_id VARCHAR, -- at most one of the two: an id may stand here before it is known
    item_id VARCHAR,
    time BIGINT NOT NULL, -- microseconds; the smallest BIGINT = since ever
    number DOUBLE,
    label VARCHAR -- both NULL = missing from then on
)
