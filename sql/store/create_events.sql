-- what: every event ever ingested, append-only; no primary key and no index (open DuckDB bugs touch both; dedupe is a join)
-- params: none
-- rows: none
CREATE TABLE events (
    seq BIGINT NOT NULL,
    "user" INTEGER NOT NULL,
    item INTEGER NOT NULL,
    type SMALLINT NOT NULL,
    value FLOAT NOT NULL, -- NaN = none
    time BIGINT NOT NULL -- microseconds since 1970, or the feed's own integers
)
