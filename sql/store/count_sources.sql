-- what: how many fingerprints are kept
-- params: none
-- rows: sources
SELECT count(*) AS sources FROM sources
