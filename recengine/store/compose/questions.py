"""Queries that operators wrote, put beside what they may read: events, items, users and external tables, by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from recengine.store.compose.names import literal, quoted

__all__ = ("READABLE", "question")

READABLE = ("events", "items", "users")
"""What a query may read besides external tables."""
_UNTIL = "($as_of::BIGINT IS NULL OR {column} <= $as_of::BIGINT)"


def _moment(column: str) -> str:
    return f"CASE WHEN {column} <= -9223372036854775807 THEN TIMESTAMP '-infinity' ELSE make_timestamp({column}) END"


def _events(timed: bool) -> str:
    time = "make_timestamp(e.time)" if timed else "e.time"
    return f"""
        SELECT u.id AS user_id, i.id AS item_id, t.name AS type, nullif(e.value, 'NaN'::FLOAT) AS value, {time} AS time
        FROM main.events e
        JOIN main.user_ids u ON u."row" = e."user"
        JOIN main.item_ids i ON i."row" = e.item
        JOIN main.event_types t ON t.code = e.type
        WHERE {_UNTIL.format(column="e.time")} AND e.seq NOT IN ( -- an id counts once
            SELECT seq FROM main.event_ids WHERE event_id IS NOT NULL
            QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY seq) > 1
        )
    """


def _versions(owner: str, columns: Sequence[tuple[int, str, str]], timed: bool) -> str:
    values = "".join(
        f", {_moment(f'v.a{position}') if kind == 'timestamp' else f'v.a{position}'} AS {quoted(name)}"
        for position, name, kind in columns
    )
    until = _UNTIL.format(column="v.valid_from") if timed else "true"
    return f"""
        SELECT i.id AS {owner}_id, {_moment("v.valid_from")} AS valid_from, v.available{values}
        FROM main.{owner}_versions v JOIN main.{owner}_ids i ON i."row" = v."row"
        WHERE {until}
        QUALIFY row_number() OVER (PARTITION BY v."row", v.valid_from ORDER BY v.seq DESC) = 1
    """


def _external(source: str, keyed: str, columns: Mapping[str, str], timed: bool) -> str:
    key = "" if keyed == "context" else f"x.{keyed}_id, "
    read = {"number": "x.number", "label": "x.label"}
    values = "".join(
        f', arg_max({read[kind]}, x.seq) FILTER (x."column" = {literal(name)}) AS {quoted(name)}'
        for name, kind in columns.items()
    )
    until = _UNTIL.format(column="x.time") if timed else "true"
    return f"""
        SELECT {key}{_moment("x.time")} AS time{values}
        FROM main.external_values x WHERE x.source = {literal(source)} AND {until} GROUP BY {key}x.time
    """


def question(
    sql: str,
    owner: str,
    attributes: Mapping[Any, Sequence[tuple[int, str, str]]],
    externals: Mapping[str, tuple[str, Mapping[str, str]]],
    *,
    timed: bool,
) -> str:
    """Put a query beside what it may read, and its entities beside their rows.

    Parameters
    ----------
    sql : one SELECT with columns entity (not where the owner is context), time and value.
    owner : item | user | context.
    attributes : by item and user: (position, name, kind) of each.
    externals : external tables by name: what leads to their rows (item | user | context), and {column: kind}.
    timed : whether events have moments.

    Parameters of the statement: $as_of, after which nothing is there. Rows: row, entity, time, value; row NULL = an
    entity that is not known; both are left out for context.
    """
    readable = {"events": _events(timed)}
    readable |= {f"{whose}s": _versions(whose, attributes[whose], timed) for whose in ("item", "user")}
    for name, (keyed, columns) in externals.items():
        readable.setdefault(name, _external(name, keyed, columns, timed))
    beside = ", ".join(f"{quoted(name)} AS ({text})" for name, text in readable.items())
    if owner == "context":
        return f"WITH {beside} SELECT q.time, q.value FROM (\n{sql}\n) q"
    return (
        f'WITH {beside} SELECT r."row", CAST(q.entity AS VARCHAR) AS entity, q.time, q.value FROM (\n{sql}\n) q '
        f"LEFT JOIN main.{owner}_ids r ON r.id = CAST(q.entity AS VARCHAR)"
    )
