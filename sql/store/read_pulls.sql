-- what: what became of the last pulls of every source
-- params: none
-- rows: source, about, at, mark, rows, stored, failures, failed_at, error
SELECT source, about, "at", mark, "rows", stored, failures, failed_at, error FROM pulls ORDER BY source
