-- what: add a batch of one column to the external values that are to be compared
-- params: $column, table external_batch(seq, user_id, item_id, time, number, label)
-- rows: none
INSERT INTO staged_external SELECT seq, $column, user_id, item_id, time, number, label FROM external_batch
