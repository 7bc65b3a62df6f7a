-- what: forget the texts of a user's events; runs before the events themselves go
-- params: $user
-- rows: none
DELETE FROM event_ids WHERE seq IN (SELECT seq FROM events WHERE "user" = $user)
