-- what: the last number given to a version of a user
-- params: none
-- rows: last_seq
SELECT coalesce(max(seq), -1) AS last_seq FROM user_versions
