-- what: whether a source with this content was ingested before
-- params: $fingerprint
-- rows: known
SELECT count(*) > 0 AS known FROM sources WHERE fingerprint = $fingerprint
