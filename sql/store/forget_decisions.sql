-- what: forget what a user was shown
-- params: $name
-- rows: none
DELETE FROM decisions WHERE user_id = $name
