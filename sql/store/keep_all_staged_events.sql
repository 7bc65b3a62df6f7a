-- what: append all temporary events
-- params: none
-- rows: count
INSERT INTO events SELECT seq, "user", item, type, value, time FROM staged_events
