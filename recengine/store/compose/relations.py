"""Relations over foreign files: the view of one, its columns, its rows, and those of them that are set aside."""

from collections.abc import Mapping

from recengine.store.compose.names import literal, quoted

__all__ = (
    "count_of",
    "describe",
    "describe_fields",
    "drop",
    "has_table",
    "insert_values",
    "quarantine",
    "rejects",
    "select",
    "source_view",
    "text_types",
)


def source_view(reader: str, path: str, options: Mapping[str, str], name: str = "part") -> str:
    """Let `name` be a view of the file at `path`; `options` are SQL literals."""
    settings = "".join(f", {name} = {value}" for name, value in options.items())
    return f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT * FROM {reader}({literal(path)}{settings})"


def text_types(names: Mapping[str, str]) -> str:
    """Write {column: type} as the struct literal that readers take."""
    return "{" + ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in names.items()) + "}"


def describe(relation: str) -> str:
    """Ask for the columns of a relation."""
    return f"DESCRIBE SELECT * FROM {quoted(relation)}"


def describe_fields(column: str, relation: str) -> str:
    """Ask for the fields of a struct column."""
    return f"DESCRIBE SELECT unnest({quoted(column)}) FROM {quoted(relation)}"


def count_of(query: str) -> str:
    """Count the rows of a query made here."""
    return f"SELECT count(*) FROM ({query})"


def has_table(name: str) -> str:
    """Ask whether a table exists."""
    return f"SELECT count(*) > 0 FROM duckdb_tables() WHERE table_name = {literal(name)}"


def drop(relation: str) -> str:
    """Drop a table where it exists."""
    return f"DROP TABLE IF EXISTS {quoted(relation)}"


def select(columns: Mapping[str, str], relation: str) -> str:
    """Select expressions under aliases: {alias: expression}."""
    listed = ", ".join(f"{expression} AS {quoted(alias)}" for alias, expression in columns.items())
    return f"SELECT {listed} FROM {quoted(relation)}"


def insert_values(table: str, columns: Mapping[str, str], relation: str) -> str:
    """Append expressions over a relation to a table of ours: {column: expression}."""
    names = ", ".join(quoted(name) for name in columns)
    return f"INSERT INTO {quoted(table)} ({names}) SELECT {', '.join(columns.values())} FROM {quoted(relation)}"


def quarantine(source: str, relation: str, path: str, *, rejected: bool) -> str:
    """Copy the rows that `bad_rows(_row, _reason)` lists, and lines that were no rows at all, to a Parquet file."""
    rows = (
        f"SELECT {literal(source)} AS _source, b._row, b._reason, r.* EXCLUDE (_row) FROM bad_rows b "
        f"JOIN (SELECT row_number() OVER () AS _row, * FROM {quoted(relation)}) r USING (_row)"
    )
    if rejected:
        rows += f" UNION ALL BY NAME SELECT {literal(source)} AS _source, _line, _reason, _text FROM ({rejects()})"
    return f"COPY ({rows} ORDER BY _row) TO {literal(path)} (FORMAT parquet)"


def rejects() -> str:
    """List the lines that the CSV reader could not split."""
    return (
        "SELECT line AS _line, any_value(error_message) AS _reason, any_value(csv_line) AS _text "
        "FROM reject_errors GROUP BY line"
    )
