-- what: remember the name, kind and length of an attribute
-- params: $owner, $position, $name, $kind, $size
-- rows: none
INSERT INTO attributes VALUES ($owner, $position, $name, $kind, $size)
