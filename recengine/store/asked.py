"""Queries that operators wrote in the configuration, run so that they can only read.

Floor 2, asked by `features/timelines.py`. In: one SELECT. Out: Arrow columns, or `ConfigInvalid`, which says where the
query stands. A query sees events, items, users and external tables by name, nothing later than a moment, and no other
table: what it reads past these would be bound by no moment, and training would see the future. For the same reason it
calls nothing that says something else at another moment (clocks, chance, settings, what the file holds now).
Why by names, and not by what `duckdb_functions()` calls volatile: that is told of overloads, not of names, and may
change with what is loaded. It tells nothing of aggregates, and calls `age` of one moment, a clock, consistent.
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
_WORDS = frozenset(("current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"))
"""Clocks that stand without parentheses, as a column does: a column cannot bear these names."""
_FICKLE = _WORDS | frozenset(
    (
        # clocks
        *("ago", "clock_timestamp", "current_localtime", "current_localtimestamp", "get_current_time"),
        *("get_current_timestamp", "now", "pg_conf_load_time", "pg_postmaster_start_time", "statement_timestamp"),
        *("today", "transaction_timestamp"),
        # chance
        *("gen_random_uuid", "random", "reservoir_quantile", "setseed", "uuid", "uuidv4", "uuidv7"),
        # counters, settings, and whose session it is
        *("current_connection_id", "current_database", "current_query", "current_query_id", "current_schema"),
        *("current_schemas", "current_setting", "current_transaction_id", "currval", "getenv", "getvariable"),
        *("in_search_path", "nextval", "setval", "txid_current"),
        # what the file holds now, and how
        *("pg_get_constraintdef", "pg_get_viewdef", "stats", "vector_type"),
        # what does something instead of saying something
        *("pg_sleep", "sleep_ms", "write_log"),
    )
)
"""Functions, aggregates and macros that say something else at another moment or to another session."""


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
    try:
        parsed = msgspec.json.decode(tree)
    except RecursionError as err:
        deep = f"{where}: the query is nested too deep"
        raise ConfigInvalid(deep, hint="sum up lists, not hundreds of terms") from err
    for what in _unbound(parsed):
        raise ConfigInvalid(
            f"{where}: the query asks for {what}, which no moment bounds",
            hint="training asks as of the past: use the times of events, versions and external tables alone",
        )
    read = {name.split(" as ", 1)[0] for name in named}  # DuckDB adds aliases; a name in quotes keeps its quotes
    read |= set(_functions(parsed))
    readable = {*compose.READABLE, *externals}
    for name in sorted(read - readable):
        raise ConfigInvalid(
            f"{where}: the query reads {name}",
            hint=f"it may read {', '.join(sorted(readable))}; a source once it is pulled",
        )
    return _plain(sql)


def _unbound(tree: Any) -> Iterator[str]:
    """Name what a syntax tree asks for that says something else at another moment: clocks, chance, settings."""
    for node in _nodes(tree):
        names: list[str] = node.get("column_names", []) if node.get("type") == "COLUMN_REF" else []
        if len(names) == 1 and names[0].lower() in _WORDS:
            yield names[0].lower()
        called = node.get("function_name", "").lower()
        if called in _FICKLE:
            yield f"{called}()"
        elif called == "age" and len(node["arguments"]) == 1:  # how long ago it was, today
            yield "age() of one moment"
        if node.get("sample"):
            yield "a sample"


def _plain(sql: str) -> str:
    """Leave out the semicolon of one statement, and comments behind it."""
    text = sql.encode()  # the parser counts bytes
    end = len(text)
    for start, kind in reversed(duckdb.tokenize(sql)):
        if kind != duckdb.token_type.comment and text[start:end].strip() != b";":
            break
        end = start
    return text[:end].decode()


def _functions(tree: Any) -> Iterator[str]:
    """Name what a syntax tree reads rows from that is no table, as it is written: query_table(...), DESCRIBE."""
    for node in _nodes(tree):
        if node.get("type") == "TABLE_FUNCTION" and (name := node["function"]["function_name"]) not in _MADE:
            yield f"{name}(...)"
        elif node.get("type") == "SHOW_REF":
            yield "DESCRIBE"


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Walk a syntax tree in its order, without recursion: a sum of some hundred terms is as deep."""
    left = [tree]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            yield part
            left.extend(reversed(part.values()))
        elif isinstance(part, list):
            left.extend(reversed(part))


def _refused(where: str, err: duckdb.Error) -> ConfigInvalid:
    said = str(err).strip().splitlines() or [type(err).__name__]
    return ConfigInvalid(f"{where}: the query fails: {said[0]}", hint=_COLUMNS)
