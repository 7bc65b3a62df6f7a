-- what: make the temporary table of external values that are to be compared
-- params: none
-- rows: none
CREATE OR REPLACE TEMP TABLE staged_external (
    seq BIGINT, "column" VARCHAR, user_id VARCHAR, item_id VARCHAR, time BIGINT, number DOUBLE, label VARCHAR
)
