-- what: the user vocabulary in row order
-- params: none
-- rows: id
SELECT id FROM user_ids ORDER BY "row"
