-- what: how many events are of items that have no version, where any item has one
-- params: $first (only events from this number on)
-- rows: orphans
SELECT count(*) AS orphans
FROM events
WHERE seq >= $first
    AND EXISTS (SELECT "row" FROM item_versions)
    AND item NOT IN (SELECT "row" FROM item_versions)
