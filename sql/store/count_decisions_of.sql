-- what: how many records there are of what a user was shown
-- params: $name
-- rows: n
SELECT count(*) AS n FROM decisions WHERE user_id = $name
