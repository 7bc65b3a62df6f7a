-- what: events whose id an earlier event has: they were delivered again after the door had forgotten the first
-- params: none
-- rows: seq
SELECT seq FROM event_ids WHERE event_id IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY seq) > 1
