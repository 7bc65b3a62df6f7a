-- what: the ids of all items that have a version
-- params: none
-- rows: id
SELECT id FROM item_ids WHERE "row" IN (SELECT "row" FROM item_versions)
