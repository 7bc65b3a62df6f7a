-- what: decisions keep the request, as JSON
-- params: none
-- rows: none
ALTER TABLE decisions ADD COLUMN request VARCHAR DEFAULT ''
