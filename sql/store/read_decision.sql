-- what: the decision record of one reply
-- params: $request_id
-- rows: request_id, at, user_id, version, cold, items, scores, reasons, contributions, degraded, batch, times
SELECT request_id, "at", user_id, version, cold, items, scores, reasons, contributions, degraded, batch, times
FROM decisions
WHERE request_id = $request_id
