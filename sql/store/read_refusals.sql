-- what: the purposes that users do not allow now
-- params: none
-- rows: user, purpose
SELECT "user", purpose FROM consents GROUP BY ALL HAVING NOT arg_max(granted, (rowid, "at"))
