-- what: the rows whose value stands in an earlier row already
-- params: $place
-- rows: file, _row, value
SELECT file, _row, value
FROM staged_checked
WHERE place = $place
QUALIFY row_number() OVER (PARTITION BY value ORDER BY file, _row) > 1
ORDER BY file, _row
