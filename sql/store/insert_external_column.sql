-- what: remember a column of an external table
-- params: $source, $owner, $column, $kind
-- rows: none
INSERT INTO external_columns VALUES ($source, $owner, $column, $kind)
