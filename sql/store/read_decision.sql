-- what: the decision record of one reply; a kept reply that was sent again has what was shown from the first
-- params: $request_id
-- rows: request_id, at, user_id, version, cold, items, scores, reasons, contributions, degraded, batch, times, seq, request, same_as
SELECT d.request_id, d."at", d.user_id, d.version, k.cold, k.items, k.scores, k.reasons, k.contributions, k.degraded,
    k.batch, k.times, k.seq, k.request, d.same_as
FROM decisions d
LEFT JOIN decisions k ON k.request_id = CASE WHEN d.same_as = '' THEN d.request_id ELSE d.same_as END
WHERE d.request_id = $request_id
