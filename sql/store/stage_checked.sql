-- what: a temporary table for values of which none may stand twice
-- params: none
-- rows: none
CREATE OR REPLACE TEMP TABLE staged_checked (place INTEGER, file INTEGER, _row BIGINT, value VARCHAR)
