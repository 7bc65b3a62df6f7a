-- what: all events up to a moment, each user's in time order
-- params: $as_of (NULL = all), $after (only events with a higher seq)
-- rows: seq, user, item, type, value, time
SELECT seq, "user", item, type, value, time
FROM events
WHERE seq > $after AND ($as_of::BIGINT IS NULL OR time <= $as_of::BIGINT)
ORDER BY "user", time, seq
