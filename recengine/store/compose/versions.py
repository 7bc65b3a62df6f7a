"""Versions of items and users, whose columns are the attributes that the data brought."""

from collections.abc import Mapping, Sequence

from recengine.store.compose.attributes import stored_type

__all__ = (
    "append_versions",
    "append_whole_versions",
    "fill_versions",
    "read_versions",
    "stage_versions",
    "versions_in_force",
)


def stage_versions(attributes: Mapping[int, tuple[str, int]]) -> str:
    """Make the temporary table of versions to be compared, {position: (kind, size)}."""
    columns = "".join(f", a{position} {stored_type(kind, size)}" for position, (kind, size) in attributes.items())
    fixed = 'seq BIGINT, "row" INTEGER, valid_from BIGINT, available BOOLEAN'
    return f"CREATE OR REPLACE TEMP TABLE staged_versions ({fixed}{columns})"


def fill_versions(positions: Sequence[int]) -> str:
    """Add a batch to the temporary versions."""
    columns = "".join(f", a{p}" for p in positions)
    return f'INSERT INTO staged_versions SELECT seq, "row", valid_from, available{columns} FROM version_batch'


def append_versions(owner: str, told: Sequence[int], silent: Sequence[int]) -> str:
    """Append the temporary versions that differ from the version before them.

    `told` are the attributes that the source has; those it is `silent` about keep their value. Parameters: $now, the
    moment from which a later version without a date is valid; $ever, the moment of a first one.
    """
    mine = "".join(f", o.a{p}" for p in told) + "".join(f", b.a{p}" for p in silent)
    base = "".join(f", b.a{p} AS b{p}" for p in told)
    lags = "".join(f", lag(a{p}) OVER w AS l{p}" for p in told)
    kept = "".join(f", a{p}" for p in (*told, *silent))
    from_lag = " OR ".join(["available <> lag_available", *(f"a{p} IS DISTINCT FROM l{p}" for p in told)])
    from_base = " OR ".join(
        ["base_from IS NULL", "available <> base_available", *(f"a{p} IS DISTINCT FROM b{p}" for p in told)]
    )
    return f"""
        INSERT INTO {owner}_versions (seq, "row", valid_from, available{kept})
        WITH placed AS ( -- every temporary version with the moment from which it is valid
            SELECT s.* REPLACE (
                coalesce(
                    s.valid_from,
                    CASE WHEN s."row" IN (SELECT "row" FROM {owner}_versions) THEN $now::BIGINT ELSE $ever::BIGINT END
                ) AS valid_from
            )
            FROM staged_versions s
        ),
        once AS ( -- of those valid from one moment, the last that was given
            SELECT * FROM placed
            QUALIFY row_number() OVER (PARTITION BY "row", valid_from ORDER BY seq DESC) = 1
        ),
        stored AS (
            SELECT * FROM {owner}_versions
            QUALIFY row_number() OVER (PARTITION BY "row", valid_from ORDER BY seq DESC) = 1
        ),
        based AS ( -- each (o) beside the stored one in force then (b), which tells what it is silent about
            SELECT
                o.seq, o."row", o.valid_from, coalesce(o.available, b.available, true) AS available,
                b.valid_from AS base_from, b.available AS base_available{mine}{base}
            FROM once o
            ASOF LEFT JOIN stored b ON o."row" = b."row" AND o.valid_from >= b.valid_from
        ),
        compared AS ( -- and the one before it among the temporary ones
            SELECT *, lag(valid_from) OVER w AS lag_from, lag(available) OVER w AS lag_available{lags}
            FROM based
            WINDOW w AS (PARTITION BY "row" ORDER BY valid_from)
        )
        SELECT seq, "row", valid_from, available{kept}
        FROM compared
        WHERE CASE -- the later of the two is the version before it; kept is what differs from that
            WHEN lag_from IS NOT NULL AND (base_from IS NULL OR lag_from >= base_from) THEN {from_lag}
            ELSE {from_base}
        END
    """


def read_versions(owner: str, positions: Sequence[int]) -> str:
    """Read the version of every item or user valid at $as_of (NULL = the latest), since when, and since the first."""
    columns = "".join(f", a{p}" for p in positions)
    return f"""
        SELECT "row", available, valid_from AS held, min(valid_from) OVER (PARTITION BY "row") AS since{columns}
        FROM {owner}_versions WHERE $as_of::BIGINT IS NULL OR valid_from <= $as_of::BIGINT
        QUALIFY row_number() OVER (PARTITION BY "row" ORDER BY valid_from DESC, seq DESC) = 1
        ORDER BY "row"
    """


def all_versions(owner: str, positions: Sequence[int]) -> str:
    """Read the versions valid at $as_of or before (NULL = all), each row's in order of time; of one moment the last."""
    columns = "".join(f", a{p}" for p in positions)
    return f"""
        SELECT "row", valid_from, available{columns}
        FROM {owner}_versions WHERE $as_of::BIGINT IS NULL OR valid_from <= $as_of::BIGINT
        QUALIFY row_number() OVER (PARTITION BY "row", valid_from ORDER BY seq DESC) = 1
        ORDER BY "row", valid_from
    """


def versions_in_force(owner: str, positions: Sequence[int]) -> str:
    """Read the version valid at each (row, moment) of the frame wanted_versions; nothing where there is none."""
    columns = "".join(f", v.a{p}" for p in positions)
    return f"""
        SELECT DISTINCT w."row", v.valid_from, v.available{columns}
        FROM wanted_versions w
        ASOF JOIN (
            SELECT * FROM {owner}_versions WHERE "row" IN (SELECT "row" FROM wanted_versions)
            QUALIFY row_number() OVER (PARTITION BY "row", valid_from ORDER BY seq DESC) = 1
        ) v ON w."row" = v."row" AND w.moment >= v.valid_from
        ORDER BY w."row", v.valid_from
    """


def append_whole_versions(owner: str, positions: Sequence[int]) -> str:
    """Append the frame version_batch; attributes whose columns it lacks are missing."""
    columns = "".join(f", a{p}" for p in positions)
    return (
        f'INSERT INTO {owner}_versions (seq, "row", valid_from, available{columns}) '
        f'SELECT seq, "row", valid_from, available{columns} FROM version_batch'
    )
