"""Free attributes: read from foreign columns, and given columns of their own in the store."""

from collections.abc import Mapping

from recengine.store.compose.names import literal, quoted

__all__ = (
    "STORED",
    "add_attribute",
    "attribute_fault",
    "attribute_value",
    "field",
    "stored_type",
    "survey_attributes",
)

STORED = {
    "bool": "BOOLEAN",
    "number": "DOUBLE",
    "string": "VARCHAR",
    "strings": "VARCHAR[]",
    "text": "VARCHAR",
    "timestamp": "BIGINT",
}
"""The DuckDB type of an attribute's column, by kind; a vector is FLOAT[length]."""


def stored_type(kind: str, size: int) -> str:
    """Name the DuckDB type of an attribute's column."""
    return f"FLOAT[{size}]" if kind == "vector" else STORED[kind]


def field(column: str, name: str) -> str:
    """Read one field of a struct column."""
    return f"{quoted(column)}.{quoted(name)}"


def attribute_value(value: str, kind: str, family: str, separator: str | None = None) -> str:
    """Read the SQL expression `value` as an attribute of `kind`; NULL = missing."""
    if kind == "bool":
        return f"CAST({value} AS BOOLEAN)"
    if kind == "number":
        return f"nullif(CAST({value} AS DOUBLE), CAST('NaN' AS DOUBLE))"
    if kind == "timestamp":
        return f"CASE WHEN isfinite(CAST({value} AS TIMESTAMPTZ)) THEN epoch_us(CAST({value} AS TIMESTAMPTZ)) END"
    if kind == "strings":
        if separator is not None and family == "text":
            parts = f"list_transform(string_split({value}, {literal(separator)}), lambda x: trim(x))"
        else:
            parts = f"CAST({value} AS VARCHAR[])"
        return f"list_filter({parts}, lambda x: x <> '')"
    if kind == "vector":
        return f"CAST({value} AS FLOAT[])"
    return f"nullif(CAST({value} AS VARCHAR), '')"


def attribute_fault(values: Mapping[str, tuple[str, str]]) -> str:
    """Name the first attribute of a row that may not be kept, {name: (kind, stored value)}; NULL where all may."""
    cases = []
    for name, (kind, value) in values.items():
        if kind == "number":
            cases.append(f"WHEN isinf({value}) THEN {literal(f'attribute {name} is infinite')}")
        if kind == "vector":
            broken = f"len(list_filter({value}, lambda x: x IS NULL OR NOT isfinite(x))) > 0"
            cases.append(f"WHEN {broken} THEN {literal(f'attribute {name} has an entry that is not a finite number')}")
    return f"CASE {' '.join(cases)} END" if cases else "CAST(NULL AS VARCHAR)"


def survey_attributes(texts: Mapping[str, str], vectors: Mapping[str, str], relation: str) -> str:
    """Measure {name: expression}: rows, average characters and distinct texts; shortest and longest vectors."""
    measures = [f"count({e}), coalesce(avg(length({e})), 0), approx_count_distinct({e})" for e in texts.values()]
    measures += [f"coalesce(min(len({e})), 0), coalesce(max(len({e})), 0)" for e in vectors.values()]
    return f"SELECT {', '.join(measures)} FROM {quoted(relation)}"


def add_attribute(owner: str, position: int, kind: str, size: int) -> str:
    """Give the versions of `owner` (item | user) a column for one more attribute."""
    return f"ALTER TABLE {owner}_versions ADD COLUMN a{position} {stored_type(kind, size)}"
