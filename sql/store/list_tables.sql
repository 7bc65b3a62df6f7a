-- what: the names of the tables of this database
-- params: none
-- rows: name
SELECT table_name AS name FROM duckdb_tables() WHERE NOT internal AND NOT temporary ORDER BY name
