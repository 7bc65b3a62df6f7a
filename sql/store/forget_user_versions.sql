-- what: forget a user in the table user_versions
-- params: $user
-- rows: none
DELETE FROM user_versions WHERE "row" = $user
