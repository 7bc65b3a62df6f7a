-- what: decisions name the kept reply that was sent again
-- params: none
-- rows: none
ALTER TABLE decisions ADD COLUMN same_as VARCHAR DEFAULT ''
