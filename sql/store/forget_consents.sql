-- what: forget a user in the table consents
-- params: $user
-- rows: none
DELETE FROM consents WHERE "user" = $user
