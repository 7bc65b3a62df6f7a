"""What is asked of foreign databases (PostgreSQL, SQLite), and how their columns are taken over."""

from collections.abc import Mapping, Sequence

from recengine.store.compose.names import quoted

__all__ = (
    "LOAD_HTTPFS",
    "SETTING",
    "SQLITE_TYPES",
    "column_types",
    "first_rows",
    "highest_mark",
    "mark_setting",
    "pulled_view",
    "remote_query",
    "remote_rows",
    "remote_table",
    "taken_over",
    "typed_rows",
)


LOAD_HTTPFS = "LOAD httpfs"
"""Let DuckDB read over the network, where its extension is installed; nothing is fetched for that."""

SETTING = "SELECT set_config($1, $2, false)"
"""Give a setting of a PostgreSQL session a value: (name, value)."""

SQLITE_TYPES = ("BLOB", "TEXT", "REAL", "INTEGER")
"""Of the types that stand in one column the first takes all."""


def remote_table(name: str) -> str:
    """Ask for a table, `schema.table` or `table`."""
    return f"SELECT * FROM {'.'.join(quoted(part) for part in name.split('.'))}"


def remote_query(text: str) -> str:
    """Stand for a query that an operator wrote, which may end in a comment or a semicolon."""
    return text.strip().rstrip(";")


def remote_rows(ask: str, column: str | None, mark: str | None) -> str:
    """Ask for the rows at or above `mark` (as SQL), and those without one; for all where there is none."""
    if column is None or mark is None:
        return f"SELECT * FROM (\n{ask}\n) AS pulled"
    name = quoted(column)
    return f"SELECT * FROM (\n{ask}\n) AS pulled WHERE {name} >= {mark} OR {name} IS NULL"


def highest_mark(ask: str, column: str, *, typed: str, endless: bool) -> str:
    """Ask for the highest value of a watermark column and its type, written as `typed` does ({} = the value).

    `endless` values, such as infinity, are left out then: nothing would ever stand above them.
    """
    name = quoted(column)
    bounded = f" WHERE CAST({name} AS TEXT) NOT IN ('NaN', 'Infinity', 'infinity', 'Inf')" if endless else ""
    highest = f"SELECT max({name}) AS top FROM (\n{ask}\n) AS pulled{bounded}"
    return f"SELECT {typed.format('top')} FROM ({highest}) AS highest"


def mark_setting(kind: str) -> str:
    """Read the mark from the setting of a PostgreSQL session, as a value of the type `kind`."""
    return f"CAST(current_setting('recengine.mark') AS {kind})"


def first_rows(ask: str) -> str:
    """Ask for no rows, which tells the columns."""
    return f"SELECT * FROM (\n{ask}\n) AS pulled LIMIT 0"


def column_types(ask: str, names: Sequence[str]) -> str:
    """Ask SQLite, where values have types and columns do not, which of `SQLITE_TYPES` stand in each column."""
    seen = ", ".join(f"max(typeof({quoted(name)}) = '{kind.lower()}')" for name in names for kind in SQLITE_TYPES)
    return f"SELECT {seen} FROM (\n{ask}\n) AS pulled"


def typed_rows(ask: str, types: Mapping[str, str]) -> str:
    """Ask SQLite for {column: type}, with a row in front that says so: the driver goes by the first values."""
    dummies = {"TEXT": "''", "REAL": "0.0", "INTEGER": "0", "BLOB": "x''"}
    first = ", ".join(f"{dummies[kind]} AS {quoted(name)}" for name, kind in types.items())
    rest = ", ".join(f"CAST({quoted(name)} AS {kind})" for name, kind in types.items())
    return f"SELECT {first} UNION ALL SELECT {rest} FROM (\n{ask}\n) AS typed"


def taken_over(casts: Mapping[str, str | None], batch: str, target: str, *, create: bool) -> str:
    """Put a batch into a temporary table: {column: DuckDB type, or None = as it is}."""
    columns = ", ".join(
        quoted(name) if kind is None else f"TRY_CAST({quoted(name)} AS {kind}) AS {quoted(name)}"
        for name, kind in casts.items()
    )
    head = f"CREATE OR REPLACE TEMP TABLE {quoted(target)} AS" if create else f"INSERT INTO {quoted(target)}"
    return f"{head} SELECT {columns} FROM {quoted(batch)}"


def pulled_view(relation: str, empty: Sequence[str], name: str) -> str:
    """Let `name` be a view of a table, and of columns in which nothing stands."""
    nothing = "".join(f", NULL AS {quoted(column)}" for column in empty)
    return f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT *{nothing} FROM {quoted(relation)}"
