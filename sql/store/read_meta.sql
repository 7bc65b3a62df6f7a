-- what: one fact about the store
-- params: $key
-- rows: value; none where it was never written
SELECT value FROM meta WHERE key = $key
