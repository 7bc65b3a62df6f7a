-- what: take the name from a user's row; the row stays, since models count by it
-- params: $user
-- rows: none
UPDATE user_ids SET id = '' WHERE "row" = $user
