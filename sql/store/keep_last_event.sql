-- what: remember the last event number before events go, so that none is ever given twice
-- params: none
-- rows: none
UPDATE meta SET value = CAST(greatest(CAST(value AS BIGINT), (SELECT coalesce(max(seq), -1) FROM events)) AS VARCHAR)
WHERE key = 'last_event'
