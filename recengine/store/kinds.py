"""DuckDB's type names, sorted into the few families that ingest treats alike."""

import re
from typing import Literal

__all__ = ("Family", "family", "vector_size")

Family = Literal[
    "bool", "integer", "float", "text", "timestamp", "null", "texts", "integers", "floats", "array", "struct", "other"
]

_INTEGER = {
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
    "BIGNUM",
}
_TEXT = {"VARCHAR", "UUID", "JSON", "TIME"}
_ARRAY = re.compile(r"^(FLOAT|DOUBLE|TINYINT|SMALLINT|INTEGER|BIGINT)\[(\d+)\]$")


def family(kind: str) -> Family:
    """Sort a DuckDB type name, such as `DECIMAL(4,2)` or `VARCHAR[]`."""
    if _ARRAY.match(kind):
        return "array"
    if kind.endswith("[]"):
        inner = family(kind[:-2])
        lists: dict[Family, Family] = {"text": "texts", "integer": "integers", "float": "floats", "null": "texts"}
        return lists.get(inner, "other")
    if kind.startswith("STRUCT"):
        return "struct"
    if kind.startswith(("TIMESTAMP", "DATE")):
        return "timestamp"
    if kind in _INTEGER:
        return "integer"
    if kind in {"FLOAT", "DOUBLE"} or kind.startswith("DECIMAL"):
        return "float"
    if kind in _TEXT or kind.startswith("ENUM"):
        return "text"
    return {"BOOLEAN": "bool", '"NULL"': "null", "NULL": "null"}.get(kind, "other")  # type: ignore[return-value]


def vector_size(kind: str) -> int:
    """Read the length of a fixed-size array type; 0 where it is none."""
    found = _ARRAY.match(kind)
    return int(found[2]) if found else 0
