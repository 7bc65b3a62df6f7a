-- what: change one fact about the store
-- params: $key, $value
-- rows: none
UPDATE meta SET value = $value WHERE key = $key
