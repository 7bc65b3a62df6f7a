-- what: functions and macros that say something else at another moment, or in another session
-- params: none
-- rows: name
SELECT DISTINCT function_name AS name
FROM duckdb_functions()
WHERE stability IN ('VOLATILE', 'CONSISTENT_WITHIN_QUERY')
    OR regexp_matches(macro_definition, 'current_|now\(|random|nextval')
