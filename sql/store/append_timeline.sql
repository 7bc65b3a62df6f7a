-- what: keep what a timeline says
-- params: $feature, $version, $owner, table timeline_batch(owner_row, time, value, label)
-- rows: none
INSERT INTO timelines
SELECT
    $feature, $version, CASE WHEN $owner = 'user' THEN owner_row END, CASE WHEN $owner = 'item' THEN owner_row END,
    time, value, label
FROM timeline_batch
