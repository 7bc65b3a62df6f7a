-- what: forget a user in external tables, whether it has a row or not
-- params: $name
-- rows: none
DELETE FROM external_values WHERE user_id = $name
