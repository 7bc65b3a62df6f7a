-- what: how many items the vocabulary has
-- params: none
-- rows: n
SELECT count(*) AS n FROM item_ids
