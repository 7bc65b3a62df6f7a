-- what: append decision records
-- params: table decision_batch, with the columns of decisions
-- rows: none
INSERT INTO decisions BY NAME SELECT * FROM decision_batch
