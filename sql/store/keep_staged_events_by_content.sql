-- what: append the temporary events without an id: of k equal ones, those beyond the number that is stored already
-- params: $before (only events stored before this source count)
-- rows: count
INSERT INTO events
WITH numbered AS (
    SELECT *, row_number() OVER (PARTITION BY "user", item, type, value, time ORDER BY seq) AS k
    FROM staged_events
    WHERE event_id IS NULL
),
stored AS (
    SELECT "user", item, type, value, time, count(*) AS copies
    FROM events
    WHERE seq < $before AND time BETWEEN (SELECT min(time) FROM staged_events) AND (SELECT max(time) FROM staged_events)
    GROUP BY ALL
)
SELECT n.seq, n."user", n.item, n.type, n.value, n.time
FROM numbered n
LEFT JOIN stored s
    ON s."user" = n."user" AND s.item = n.item AND s.type = n.type AND s.value = n.value AND s.time = n.time
WHERE n.k > coalesce(s.copies, 0)
