-- what: take events out of the visits that are forgotten, as the fold does: those of others stay, in no visit
-- params: $sessions
-- rows: none
UPDATE event_ids SET session_id = NULL WHERE list_contains($sessions::VARCHAR[], session_id)
