-- what: the number of the last external value; -1 = there is none
-- params: none
-- rows: seq
SELECT coalesce(max(seq), -1) AS seq FROM external_values
