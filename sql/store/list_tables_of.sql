-- what: the names of the tables of one attached database
-- params: $catalog
-- rows: name
SELECT table_name AS name FROM duckdb_tables() WHERE database_name = $catalog AND NOT internal AND NOT temporary ORDER BY name
