-- what: add a batch to the temporary events
-- params: table event_batch
-- rows: none
INSERT INTO staged_events
SELECT seq, "user", item, type, value, time, event_id, session_id, request_id FROM event_batch
