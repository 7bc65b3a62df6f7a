-- what: append the texts of the temporary events that were kept
-- params: $before (the first number of this source)
-- rows: count
INSERT INTO event_ids
SELECT seq, event_id, session_id, request_id
FROM staged_events
WHERE coalesce(event_id, session_id, request_id) IS NOT NULL AND seq IN (SELECT seq FROM events WHERE seq >= $before)
