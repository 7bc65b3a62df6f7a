-- what: the ids of the latest events
-- params: $limit
-- rows: event_id
SELECT event_id FROM event_ids WHERE event_id IS NOT NULL ORDER BY seq DESC LIMIT $limit
