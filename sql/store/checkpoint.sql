-- what: bring what is committed from the log into the database file
-- params: none
-- rows: none
CHECKPOINT
