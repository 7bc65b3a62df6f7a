-- what: the ids of the latest events
-- params: $after (only later ones), $limit
-- rows: event_id
SELECT event_id FROM event_ids WHERE event_id IS NOT NULL AND seq > $after ORDER BY seq DESC LIMIT $limit
