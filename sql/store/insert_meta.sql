-- what: write one fact about the store for the first time
-- params: $key, $value
-- rows: none
INSERT INTO meta VALUES ($key, $value)
