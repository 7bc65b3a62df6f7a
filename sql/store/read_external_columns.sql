-- what: the columns of all external tables
-- params: none
-- rows: source, owner, column, kind
SELECT source, "owner", "column", kind FROM external_columns ORDER BY ALL
