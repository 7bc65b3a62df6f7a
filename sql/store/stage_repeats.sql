-- what: a temporary table for incoming events that are passed over as repeats
-- params: none
-- rows: none
CREATE OR REPLACE TEMP TABLE staged_repeats (seq BIGINT, "user" INTEGER, time BIGINT)
