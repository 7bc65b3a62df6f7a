-- what: the ids of all users that have a version
-- params: none
-- rows: id
SELECT id FROM user_ids WHERE "row" IN (SELECT "row" FROM user_versions)
