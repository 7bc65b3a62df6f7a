-- what: for every event type the value that a share of its values lies below, and the one that it lies above
-- params: $share (0 to 0.5)
-- rows: kind, low, high
SELECT kind,
    quantile_disc(value, coalesce($share::DOUBLE, 0)) AS low,
    quantile_disc(value, 1 - coalesce($share::DOUBLE, 0)) AS high
FROM staged_values
WHERE isfinite(value)
GROUP BY kind
