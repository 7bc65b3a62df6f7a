-- what: append the temporary events without an id, all of them (a source without an order is compared as a whole)
-- params: none
-- rows: count
INSERT INTO events SELECT seq, "user", item, type, value, time FROM staged_events WHERE event_id IS NULL
