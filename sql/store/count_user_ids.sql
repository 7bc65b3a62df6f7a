-- what: how many users the vocabulary has
-- params: none
-- rows: n
SELECT count(*) AS n FROM user_ids
