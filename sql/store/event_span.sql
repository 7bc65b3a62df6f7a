-- what: how many events are stored, their time span, and the last number that was ever given
-- params: none
-- rows: events, first, last, last_seq
SELECT count(*) AS events, min(time) AS first, max(time) AS last,
    greatest(coalesce(max(seq), -1), (SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'last_event')) AS last_seq
FROM events
