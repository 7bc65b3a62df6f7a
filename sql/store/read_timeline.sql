-- what: what a timeline said when it was last evaluated, where its definition is still the same
-- params: $feature, $version
-- rows: owner_row, time, value, label
SELECT coalesce("user", item, 0) AS owner_row, time, value, label
FROM timelines
WHERE feature = $feature AND version = $version
ORDER BY owner_row, time
