-- what: append the texts of a batch of events
-- params: table event_batch
-- rows: none
INSERT INTO event_ids
SELECT seq, event_id, session_id, request_id FROM event_batch WHERE coalesce(event_id, session_id, request_id) IS NOT NULL
