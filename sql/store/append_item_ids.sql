-- what: append new items to the vocabulary
-- params: table new_ids(row, id)
-- rows: none
INSERT INTO item_ids SELECT "row", id FROM new_ids
