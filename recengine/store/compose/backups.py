"""Whole databases: attached, copied, compared."""

from recengine.store.compose.names import literal, quoted

__all__ = (
    "attach",
    "copy_database",
    "detach",
    "table_digest",
)


def attach(path: str, name: str) -> str:
    """Attach the database file at `path` under `name`."""
    return f"ATTACH {literal(path)} AS {quoted(name)}"


def detach(name: str) -> str:
    """Let an attached database go; its file is whole then."""
    return f"DETACH {quoted(name)}"


def copy_database(source: str, target: str) -> str:
    """Copy all tables of one attached database into another."""
    return f"COPY FROM DATABASE {quoted(source)} TO {quoted(target)}"


def table_digest(catalog: str, table: str) -> str:
    """Count the rows of a table and hash its content, whatever the order of the rows."""
    return f"SELECT count(*), coalesce(bit_xor(hash(t)), 0)::VARCHAR FROM {quoted(catalog)}.{quoted(table)} AS t"
