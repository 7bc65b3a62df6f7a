-- what: how many rows brought external values with a number from $first on
-- params: $first
-- rows: found
SELECT count(DISTINCT seq) AS found FROM external_values WHERE seq >= $first
