-- what: facts about the store itself: the schema version, the kind of order that events have
-- params: none
-- rows: none
CREATE TABLE IF NOT EXISTS meta (key VARCHAR NOT NULL, value VARCHAR NOT NULL)
