-- what: append all temporary events
-- params: none
-- rows: count
INSERT INTO events SELECT * FROM staged_events
