-- what: the last number given to a version of a item
-- params: none
-- rows: last_seq
SELECT coalesce(max(seq), -1) AS last_seq FROM item_versions
