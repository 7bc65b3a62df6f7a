"""Put names and texts into SQL, quoted; everything composed stands on this."""

__all__ = (
    "literal",
    "quoted",
)


def quoted(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a string, for the statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"
