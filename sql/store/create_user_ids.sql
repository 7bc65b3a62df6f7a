-- what: the user vocabulary: row -> id; rows are never renumbered
-- params: none
-- rows: none
CREATE TABLE user_ids ("row" INTEGER NOT NULL, id VARCHAR NOT NULL)
