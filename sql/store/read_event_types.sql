-- what: the names of the event types in the order of their codes
-- params: none
-- rows: id
SELECT name AS id FROM event_types ORDER BY code
