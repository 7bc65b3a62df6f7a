-- what: every item shown, its place in the reply, and what the user did with it afterwards
-- params: $request_id (null = all)
-- rows: request_id, at, user_id, version, item_id, position, events
WITH given AS (
    SELECT d.request_id, d."at", d.user_id, d.version, k.items
    FROM decisions d JOIN decisions k ON k.request_id = CASE WHEN d.same_as = '' THEN d.request_id ELSE d.same_as END
    WHERE $request_id IS NULL OR d.request_id = $request_id
),
shown AS (
    SELECT request_id, "at", user_id, version, unnest(items) AS item_id, generate_subscripts(items, 1) AS position
    FROM given
),
answered AS (
    SELECT t.request_id, i.id AS item_id, list(y.name ORDER BY e.seq) AS events
    FROM event_ids t
    JOIN events e ON e.seq = t.seq
    JOIN item_ids i ON i."row" = e.item
    JOIN event_types y ON y.code = e.type
    WHERE t.request_id IS NOT NULL AND ($request_id IS NULL OR t.request_id = $request_id)
    GROUP BY ALL
)
SELECT s.request_id, s."at", s.user_id, s.version, s.item_id, s.position, coalesce(a.events, []) AS events
FROM shown s LEFT JOIN answered a ON a.request_id = s.request_id AND a.item_id = s.item_id
ORDER BY s."at", s.request_id, s.position
