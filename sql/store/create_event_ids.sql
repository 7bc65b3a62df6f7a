-- what: the texts that come with some events; apart from events, where three empty text columns cost as much to write as all the others
-- params: none
-- rows: none
CREATE TABLE event_ids (seq BIGINT NOT NULL, event_id VARCHAR, session_id VARCHAR, request_id VARCHAR)
