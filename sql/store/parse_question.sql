-- what: the syntax tree of a statement, as JSON; nothing of it is run
-- params: $sql
-- rows: tree
SELECT json_serialize_sql($sql::VARCHAR) AS tree
