-- what: of events that answer a reply: what its request told of the place it came from, and where the item stood in it
-- params: $as_of (null = all)
-- rows: seq, device, location, referrer, position
WITH answered AS (
    SELECT t.seq, t.request_id, i.id AS item_id
    FROM event_ids t
    JOIN events e ON e.seq = t.seq
    JOIN item_ids i ON i."row" = e.item
    WHERE t.request_id IS NOT NULL AND ($as_of IS NULL OR e.time <= $as_of)
),
given AS (
    SELECT d.request_id, k.items, CASE WHEN json_valid(k.request) THEN k.request END AS request
    FROM decisions d JOIN decisions k ON k.request_id = CASE WHEN d.same_as = '' THEN d.request_id ELSE d.same_as END
    WHERE d.request_id IN (SELECT request_id FROM answered)
    QUALIFY row_number() OVER (PARTITION BY d.request_id ORDER BY d.seq, k.seq) = 1
)
SELECT a.seq,
    json_extract_string(g.request, '$.context.device') AS device,
    json_extract_string(g.request, '$.context.location') AS location,
    json_extract_string(g.request, '$.context.referrer') AS referrer,
    nullif(list_position(g.items, a.item_id), 0) AS "position" -- 1 = first, null = it was not in the reply
FROM answered a JOIN given g ON g.request_id = a.request_id
ORDER BY a.seq
