-- what: shut files, network and extensions: what SQL could reach outside the database
-- params: none
-- rows: none
SET enable_external_access = false
