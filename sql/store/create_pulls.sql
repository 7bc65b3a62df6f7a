-- what: what became of the last pulls of every configured source, and the mark from which the next one goes on
-- params: none
-- rows: none
CREATE TABLE pulls (
    source VARCHAR NOT NULL,
    about VARCHAR NOT NULL, -- a digest of what is pulled; another one begins anew
    "at" BIGINT, -- of the last good pull; NULL = there was none
    mark VARCHAR, -- JSON: the highest value of the watermark column
    "rows" BIGINT NOT NULL,
    stored BIGINT NOT NULL,
    failures INTEGER NOT NULL, -- since the last good pull
    failed_at BIGINT,
    error VARCHAR
)
