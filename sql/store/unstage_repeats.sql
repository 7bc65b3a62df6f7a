-- what: let the passed over repeats go
-- params: none
-- rows: none
DROP TABLE staged_repeats
