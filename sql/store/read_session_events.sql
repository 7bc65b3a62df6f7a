-- what: all events of the latest sessions that have one from a moment on, in the order in which they came
-- params: $since, $times_from (orders below it are no times: what they order is never over), $most (sessions)
-- rows: seq, user, item, type, value, time, session_id
WITH visits AS (
    SELECT t.session_id, max(t.seq) AS last_seq
    FROM event_ids t JOIN events e ON e.seq = t.seq
    WHERE t.session_id IS NOT NULL AND (e.time >= $since::BIGINT OR e.time < $times_from::BIGINT)
    GROUP BY t.session_id
    ORDER BY last_seq DESC
    LIMIT $most::BIGINT
)
SELECT e.seq, e."user", e.item, e.type, e.value, e.time, t.session_id
FROM event_ids t JOIN visits v ON v.session_id = t.session_id JOIN events e ON e.seq = t.seq
ORDER BY e.seq
