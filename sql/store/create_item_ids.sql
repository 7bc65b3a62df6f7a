-- what: the item vocabulary: row -> id; rows are never renumbered
-- params: none
-- rows: none
CREATE TABLE item_ids ("row" INTEGER NOT NULL, id VARCHAR NOT NULL)
