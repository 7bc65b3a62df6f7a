-- what: the days on which one of some users did more than $most things within a minute, repeats included; what is midnight is a date, and tells no minute
-- params: $first (only events from this number on), $users (rows), $most, $zone (of the days)
-- rows: user, day
WITH placed AS (
    SELECT "user", time, timezone($zone::VARCHAR, make_timestamptz(time)) AS clock
    FROM (SELECT seq, "user", time FROM events UNION ALL FROM staged_repeats)
    WHERE seq >= $first AND "user" IN (SELECT unnest($users::INTEGER[]))
),
bursts AS (
    SELECT "user", time, lag(time, $most::INTEGER) OVER (PARTITION BY "user" ORDER BY time) AS before
    FROM placed
    WHERE clock <> date_trunc('day', clock)
),
ends AS (
    SELECT "user", unnest([before, time]) AS time FROM bursts WHERE time - before < 60000000
)
SELECT DISTINCT "user", CAST(CAST(timezone($zone::VARCHAR, make_timestamptz(time)) AS DATE) AS VARCHAR) AS day
FROM ends
ORDER BY "user", day
