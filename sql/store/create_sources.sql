-- what: fingerprints of ingested sources without an order column, so that a second ingest of the same content changes nothing
-- params: none
-- rows: none
CREATE TABLE sources (fingerprint VARCHAR NOT NULL, "rows" BIGINT NOT NULL, "at" BIGINT NOT NULL)
