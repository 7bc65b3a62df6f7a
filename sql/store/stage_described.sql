-- what: a temporary table for the ids of what is described; `what` is items or users
-- params: none
-- rows: none
CREATE OR REPLACE TEMP TABLE staged_described (what VARCHAR, id VARCHAR)
