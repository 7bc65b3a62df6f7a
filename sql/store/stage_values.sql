-- what: a temporary table for the values of incoming events, by event type
-- params: none
-- rows: none
CREATE OR REPLACE TEMP TABLE staged_values (kind VARCHAR, value DOUBLE)
