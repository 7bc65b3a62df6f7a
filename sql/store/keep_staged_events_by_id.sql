-- what: append the temporary events whose event_id was never seen, the first of each
-- params: none
-- rows: count
INSERT INTO events
SELECT s.seq, s."user", s.item, s.type, s.value, s.time
FROM staged_events s
WHERE s.event_id IS NOT NULL
    AND s.event_id NOT IN (SELECT e.event_id FROM event_ids e WHERE e.event_id IS NOT NULL)
QUALIFY row_number() OVER (PARTITION BY s.event_id ORDER BY s.seq) = 1
