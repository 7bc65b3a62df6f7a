-- what: remember what became of a pull
-- params: $source, $about, $at, $mark, $rows, $stored, $failures, $failed_at, $error
-- rows: none
INSERT INTO pulls VALUES ($source, $about, $at, $mark, $rows, $stored, $failures, $failed_at, $error)
