"""Moments of a foreign file on the clocks of a zone: those that name none, and the days of machines."""

from collections.abc import Sequence

from recengine.store.compose.names import literal, quoted
from recengine.store.compose.values import text_time

__all__ = ("clock_changes", "machine_rows", "time_zone")

_ZONED = r":\d{2}(\.\d+)?\s*([zZ]|[+-]\d{2}(:?\d{2}){0,2}|[A-Za-z_]+(/[A-Za-z_+-]+)*)$"
"""A text that ends so names its zone."""


def time_zone(zone: str) -> str:
    """Let moments that name no zone be read in this one."""
    return f"SET TimeZone = {literal(zone)}"


def clock_changes(column: str, kind: str, zone: str, relation: str) -> str:
    """Count the moments that name no zone; of these, those in hours that the clocks skip, and that they show twice.

    Such a moment is looked at with what the clocks of `zone` were apart from UTC a day before and a day after: where
    that differs, and both read back as it stands there, it is shown twice; where neither does, it is skipped.
    """
    name = quoted(column)
    naive = f"CAST({name} AS TIMESTAMP)"
    if kind in {"VARCHAR", "JSON"}:
        naive = f"CASE WHEN NOT regexp_matches(trim({name}), {literal(_ZONED)}) THEN TRY_CAST({name} AS TIMESTAMP) END"
    moment = text_time(column, "text" if kind in {"VARCHAR", "JSON"} else "timestamp")
    day, place = 86_400_000_000, literal(zone)

    def apart(at: str) -> str:
        return f"epoch_us(timezone({place}, make_timestamptz({at}))) - ({at})"

    return f"""
        SELECT count(n), count(*) FILTER (NOT a AND NOT b), count(*) FILTER (a AND b AND earlier <> later)
        FROM (
            SELECT n, earlier, later,
                epoch_us(timezone({place}, make_timestamptz(n - earlier))) = n AS a,
                epoch_us(timezone({place}, make_timestamptz(n - later))) = n AS b
            FROM (
                SELECT n, {apart(f"z - {day}")} AS earlier, {apart(f"z + {day}")} AS later
                FROM (SELECT epoch_us({naive}) AS n, {moment} AS z FROM {quoted(relation)})
                WHERE n IS NOT NULL AND z IS NOT NULL
            )
        )
    """


def machine_rows(user: str, moment: str, zone: str, relation: str, machines: Sequence[str]) -> str:
    """List the rows of `relation` of the users and days in the frame that has the columns `machines`."""
    frame, name, day = map(quoted, machines)
    date = f"CAST(CAST(timezone({literal(zone)}, TRY(make_timestamptz(r.t))) AS DATE) AS VARCHAR)"
    return f"""
        SELECT _row
        FROM (
            SELECT row_number() OVER () AS _row, CAST({user} AS VARCHAR) AS who, TRY_CAST({moment} AS BIGINT) AS t
            FROM {quoted(relation)}
        ) r
        JOIN {frame} m
            ON r.who = m.{name} AND {date} = m.{day}
        ORDER BY _row
    """
