-- what: the vocabulary of event types: code -> name
-- params: none
-- rows: none
CREATE TABLE event_types (code SMALLINT NOT NULL, name VARCHAR NOT NULL)
