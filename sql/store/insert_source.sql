-- what: remember the content of a source
-- params: $fingerprint, $rows, $at
-- rows: none
INSERT INTO sources VALUES ($fingerprint, $rows, $at)
