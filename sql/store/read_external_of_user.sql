-- what: one column of an external table by user, of those users that are known, as a timeline
-- params: $source, $column, $as_of
-- rows: row, time, number, label
SELECT r."row", e.time, e.number, e.label
FROM external_values e
JOIN user_ids r ON r.id = e.user_id
WHERE e.source = $source AND e."column" = $column AND ($as_of::BIGINT IS NULL OR e.time <= $as_of::BIGINT)
QUALIFY row_number() OVER (PARTITION BY r."row", e.time ORDER BY e.seq DESC) = 1
ORDER BY r."row", e.time
