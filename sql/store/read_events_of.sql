-- what: the events of some users up to a moment, each user's in time order
-- params: $as_of (NULL = all), $after (only events with a higher seq), $users
-- rows: seq, user, item, type, value, time
SELECT seq, "user", item, type, value, time
FROM events
WHERE "user" IN (SELECT unnest($users::INTEGER[])) AND seq > $after AND ($as_of::BIGINT IS NULL OR time <= $as_of::BIGINT)
ORDER BY "user", time, seq
