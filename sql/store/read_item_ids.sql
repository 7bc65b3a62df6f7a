-- what: the item vocabulary in row order
-- params: none
-- rows: id
SELECT id FROM item_ids ORDER BY "row"
