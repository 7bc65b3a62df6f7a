-- what: append new event types to the vocabulary
-- params: table new_ids(row, id)
-- rows: none
INSERT INTO event_types SELECT "row", id FROM new_ids
