-- what: how many external values there are of a user
-- params: $name
-- rows: found
SELECT count(*) AS found FROM external_values WHERE user_id = $name
