-- what: take the noted repeats out of the temporary events
-- params: none
-- rows: count
DELETE FROM staged_events WHERE seq IN (SELECT seq FROM staged_repeats)
