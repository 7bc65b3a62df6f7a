-- what: make room for what is now known of a source
-- params: $source
-- rows: none
DELETE FROM pulls WHERE source = $source
