-- what: which entry of a timeline is in force for each probe: the last of its owner that begins no later; none where there is none
-- params: table asof_probes(k, owner_row, moment), table asof_timeline(at, owner_row, begins)
-- rows: k, at
SELECT p.k, t.at
FROM asof_probes p
ASOF JOIN asof_timeline t ON p.owner_row = t.owner_row AND p.moment >= t.begins
