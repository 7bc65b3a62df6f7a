-- what: how many events are stored, their time span, and the last number given
-- params: none
-- rows: events, first, last, last_seq
SELECT count(*) AS events, min(time) AS first, max(time) AS last, coalesce(max(seq), -1) AS last_seq FROM events
