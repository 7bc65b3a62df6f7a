-- what: one column of an external table that time alone leads to, as a timeline
-- params: $source, $column, $as_of
-- rows: row, time, number, label
SELECT 0::INTEGER AS "row", time, number, label
FROM external_values
WHERE source = $source AND "column" = $column AND ($as_of::BIGINT IS NULL OR time <= $as_of::BIGINT)
QUALIFY row_number() OVER (PARTITION BY time ORDER BY seq DESC) = 1
ORDER BY time
