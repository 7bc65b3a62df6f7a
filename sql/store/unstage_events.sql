-- what: drop the temporary events
-- params: none
-- rows: none
DROP TABLE IF EXISTS staged_events
