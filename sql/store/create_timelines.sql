-- what: what the timelines of features said when they were last evaluated; from `time` on the item or user has this value
-- params: none
-- rows: none
CREATE TABLE timelines (
    feature VARCHAR NOT NULL,
    version VARCHAR NOT NULL, -- of its definition
    "user" INTEGER, -- at most one of the two; none = all have it
    item INTEGER,
    time BIGINT NOT NULL, -- microseconds; the smallest BIGINT = since ever
    value DOUBLE,
    label VARCHAR -- both NULL = missing from then on
)
