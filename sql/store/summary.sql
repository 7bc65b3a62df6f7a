-- what: how much the store holds
-- params: none
-- rows: events, users, items, item_versions, user_versions, decisions, first, last, last_seq
SELECT
    (SELECT count(*) FROM events) AS events,
    (SELECT count(*) FROM user_ids) AS users,
    (SELECT count(*) FROM item_ids) AS items,
    (SELECT count(*) FROM item_versions) AS item_versions,
    (SELECT count(*) FROM user_versions) AS user_versions,
    (SELECT count(*) FROM decisions) AS decisions,
    (SELECT min(time) FROM events) AS first,
    (SELECT max(time) FROM events) AS last,
    (SELECT coalesce(max(seq), -1) FROM events) AS last_seq
