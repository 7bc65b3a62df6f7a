-- what: append the staged external values that say something new
-- params: $source, $first, $now, $ever
-- rows: none
INSERT INTO external_values
WITH staged AS (
    SELECT *, coalesce(user_id, item_id, '') AS entity FROM staged_external
),
stored AS ( -- what is known of the same entities: of equal moments the last
    SELECT "column", coalesce(user_id, item_id, '') AS entity, time, number, label
    FROM external_values
    WHERE source = $source AND coalesce(user_id, item_id, '') IN (SELECT entity FROM staged)
    QUALIFY row_number() OVER (PARTITION BY "column", entity, time ORDER BY seq DESC) = 1
),
placed AS ( -- without a time of its own a value holds from now on, and the first one always did
    SELECT s.* REPLACE (
        CASE
            WHEN s.time IS NOT NULL THEN s.time
            WHEN (s."column", s.entity) IN (SELECT ("column", entity) FROM stored) THEN $now::BIGINT
            ELSE $ever::BIGINT
        END AS time
    ), s.time IS NOT NULL AS timed
    FROM staged s
),
once AS (
    SELECT * FROM placed QUALIFY row_number() OVER (PARTITION BY "column", entity, time ORDER BY seq DESC) = 1
)
SELECT $first::BIGINT + o.seq, $source, o."column", o.user_id, o.item_id, o.time, o.number, o.label
FROM once o
ASOF LEFT JOIN stored b ON o."column" = b."column" AND o.entity = b.entity AND o.time >= b.time
WHERE NOT (
    o.number IS NOT DISTINCT FROM b.number
    AND o.label IS NOT DISTINCT FROM b.label
    AND (NOT o.timed OR b.time IS NOT DISTINCT FROM o.time)
)
