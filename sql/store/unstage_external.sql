-- what: drop the staged external values
-- params: none
-- rows: none
DROP TABLE IF EXISTS staged_external
