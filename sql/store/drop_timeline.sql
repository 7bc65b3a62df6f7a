-- what: forget what a timeline said
-- params: $feature
-- rows: none
DELETE FROM timelines WHERE feature = $feature
