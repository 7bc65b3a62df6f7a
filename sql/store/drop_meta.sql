-- what: take back one fact about the store
-- params: $key
-- rows: none
DELETE FROM meta WHERE key = $key
