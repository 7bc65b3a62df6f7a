-- what: append a batch of events that need no comparison
-- params: table event_batch
-- rows: none
INSERT INTO events SELECT seq, "user", item, type, value, time FROM event_batch
