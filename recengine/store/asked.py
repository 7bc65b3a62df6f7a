"""Queries that operators wrote in the configuration, run so that they can only read.

Floor 2, asked by `features/timelines.py`. In: one SELECT. Out: Arrow columns, or `ConfigInvalid`, which says where the
query stands. A query sees events, items, users and external tables by name, nothing later than a moment, and no other
table: what it reads past these would be bound by no moment, and training would see the future.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from recengine.errors import ConfigInvalid
from recengine.store import compose
from recengine.store.catalog import Owner, attributes
from recengine.store.cursor import Cursor
from recengine.store.database import Database
from recengine.store.queries import query

__all__ = ("answered",)

_OURS = (duckdb.FatalException, duckdb.InternalException, duckdb.IOException, duckdb.OutOfMemoryException)
"""What is no fault of the query."""
_COLUMNS = (
    "it needs columns entity, time and value; events has user_id, item_id, type, value and time; items has item_id, "
    "valid_from, available and the attributes, users likewise"
)
_MADE = ("generate_series", "range", "unnest")
"""Functions that a query may read from: their rows come from their arguments alone. `query_table` reads any table, and
those named duckdb_... what there is now, not what there was then."""


def answered(
    database: Database,
    sql: str,
    owner: str,
    externals: Mapping[str, tuple[str, Mapping[str, str]]],
    *,
    timed: bool,
    as_of: int | None,
    where: str,
) -> pa.Table:
    """Run one query.

    Parameters
    ----------
    sql : one SELECT with columns entity, time and value; of context without entity.
    owner : item | user | context.
    externals : external tables that there are, as `compose.question` takes them.
    timed : whether events have moments.
    as_of : the query sees nothing later than this (microseconds, or the feed's own order); None = all.
    where : file, line and name of the definition, for the message.

    Returns
    -------
    row (int32, null = an entity that is not known), entity (text), time, value; of context the last two.

    Raises
    ------
    ConfigInvalid : it is no single SELECT, reads something else, or fails.
    """
    cursor = database.read()
    asked = _checked(cursor, sql, externals, where)
    whose: tuple[Owner, ...] = ("item", "user")
    known = {o: [(a.position, name, str(a.kind)) for name, a in attributes(cursor, o).items()] for o in whose}
    whole = compose.question(asked, owner, known, externals, timed=timed)
    cursor.execute(query("store/begin_reading"))  # an INSERT inside a WITH counts as a SELECT
    try:
        with cursor.guarded():
            try:
                return cursor.raw.sql(whole, params={"as_of": as_of}).to_arrow_table()
            except _OURS:
                raise
            except duckdb.Error as err:
                raise _refused(where, err) from err
    finally:
        with cursor.guarded():
            cursor.raw.rollback()


def _checked(cursor: Cursor, sql: str, externals: Mapping[str, object], where: str) -> str:
    """See that the query is one SELECT and reads nothing else; returns it without the semicolon."""
    try:
        statements = cursor.raw.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            kinds = ", ".join(s.type.name for s in statements) or "nothing"
            raise ConfigInvalid(f"{where}: expected one SELECT, got {kinds}", hint="write one statement that reads")
        named = {name.lower() for name in cursor.raw.get_table_names(sql, qualified=True)}
        [(tree,)] = cursor.raw.execute(query("store/parse_question"), {"sql": sql}).fetchall()
    except duckdb.Error as err:
        raise _refused(where, err) from err
    read = {name.split(" as ", 1)[0] for name in named}  # DuckDB adds aliases; a name in quotes keeps its quotes
    read |= set(_functions(msgspec.json.decode(tree)))
    readable = {*compose.READABLE, *externals}
    for name in sorted(read - readable):
        raise ConfigInvalid(
            f"{where}: the query reads {name}",
            hint=f"it may read {', '.join(sorted(readable))}; a source once it is pulled",
        )
    return sql.strip().removesuffix(";")


def _functions(tree: Any) -> Iterator[str]:
    """Name what a syntax tree reads rows from that is no table, as it is written: query_table(...), DESCRIBE."""
    if isinstance(tree, list):
        for part in tree:
            yield from _functions(part)
    elif isinstance(tree, dict):
        if tree.get("type") == "TABLE_FUNCTION" and (name := tree["function"]["function_name"]) not in _MADE:
            yield f"{name}(...)"
        elif tree.get("type") == "SHOW_REF":
            yield "DESCRIBE"
        yield from _functions(list(tree.values()))


def _refused(where: str, err: duckdb.Error) -> ConfigInvalid:
    said = str(err).strip().splitlines() or [type(err).__name__]
    return ConfigInvalid(f"{where}: the query fails: {said[0]}", hint=_COLUMNS)
