-- what: note the temporary events that follow one of the same user, item and type too soon
-- params: $within (microseconds)
-- rows: count
INSERT INTO staged_repeats
SELECT seq, "user", time
FROM (
    SELECT
        seq, "user", time, fresh,
        time - lag(time) OVER (PARTITION BY "user", item, type ORDER BY time, fresh, seq) AS gap
    FROM (
        SELECT seq, "user", item, type, time, true AS fresh FROM staged_events
        UNION ALL
        SELECT seq, "user", item, type, time, false AS fresh
        FROM events
        WHERE time BETWEEN (SELECT min(time) FROM staged_events) - $within::BIGINT
            AND (SELECT max(time) FROM staged_events)
    )
)
WHERE fresh AND gap <= $within::BIGINT
