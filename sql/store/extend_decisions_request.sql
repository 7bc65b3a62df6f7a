-- what: decisions keep the request, as JSON
-- params: none
-- rows: none
ALTER TABLE decisions ADD COLUMN IF NOT EXISTS request VARCHAR DEFAULT ''
