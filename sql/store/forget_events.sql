-- what: forget a user in the table events
-- params: $user
-- rows: none
DELETE FROM events WHERE "user" = $user
