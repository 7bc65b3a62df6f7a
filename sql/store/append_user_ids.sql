-- what: append new users to the vocabulary
-- params: table new_ids(row, id)
-- rows: none
INSERT INTO user_ids SELECT "row", id FROM new_ids
