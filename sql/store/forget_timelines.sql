-- what: forget what timelines say of a user
-- params: $user
-- rows: none
DELETE FROM timelines WHERE "user" = $user
