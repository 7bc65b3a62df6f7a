-- what: the attributes of items or of users, in the order of their columns
-- params: $owner (item | user)
-- rows: position, name, kind, size
SELECT position, name, kind, size FROM attributes WHERE owner = $owner ORDER BY position
