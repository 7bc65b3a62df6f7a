-- what: drop the temporary versions
-- params: none
-- rows: none
DROP TABLE IF EXISTS staged_versions
