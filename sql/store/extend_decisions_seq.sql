-- what: decisions say after which frame they were made
-- params: none
-- rows: none
ALTER TABLE decisions ADD COLUMN IF NOT EXISTS seq BIGINT DEFAULT -1
