-- what: freeze the configuration for the life of the process
-- params: none
-- rows: none
SET lock_configuration = true
