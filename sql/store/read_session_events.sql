-- what: the events of visits, from a moment on, in the order in which they came
-- params: $since
-- rows: seq, user, item, type, value, time, session_id
SELECT e.seq, e."user", e.item, e.type, e.value, e.time, t.session_id
FROM event_ids t JOIN events e ON e.seq = t.seq
WHERE t.session_id IS NOT NULL AND e.time >= $since
ORDER BY e.seq
