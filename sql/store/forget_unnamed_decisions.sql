-- what: forget what a user was shown while it had no name: replies to its visits, and those that its events answer
-- params: $user
-- rows: none
DELETE FROM decisions
WHERE user_id IS NULL AND (
    request_id IN (SELECT t.request_id FROM event_ids t JOIN events e ON e.seq = t.seq WHERE e."user" = $user)
    OR try(json_extract_string(request, '$.session_id'))
        IN (SELECT t.session_id FROM event_ids t JOIN events e ON e.seq = t.seq WHERE e."user" = $user)
)
