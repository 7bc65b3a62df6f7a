-- what: decisions name the kept reply that was sent again
-- params: none
-- rows: none
ALTER TABLE decisions ADD COLUMN IF NOT EXISTS same_as VARCHAR DEFAULT ''
