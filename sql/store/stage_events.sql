-- what: a temporary table for events that must be compared with the stored ones before they are kept
-- params: none
-- rows: none
CREATE OR REPLACE TEMP TABLE staged_events (
    seq BIGINT, "user" INTEGER, item INTEGER, type SMALLINT, value FLOAT, time BIGINT,
    event_id VARCHAR, session_id VARCHAR, request_id VARCHAR
)
