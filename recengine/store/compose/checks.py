"""What a foreign column is expected to be, as SQL that is true of the rows that are not so.

A missing value (NULL, an empty text, NaN, an empty list) is at fault only where values may not be missing.
"""

from collections.abc import Mapping, Sequence

from recengine.store.compose.attributes import field
from recengine.store.compose.names import literal, quoted

__all__ = (
    "above",
    "add_checked",
    "below",
    "clipped",
    "faulty_rows",
    "first_fault",
    "id_of",
    "insert_described",
    "moment_of",
    "not_among",
    "not_described",
    "not_of_type",
    "number_of",
    "present",
    "tally",
)

_NUMBERS = {"bool", "integer", "float"}
_LISTS = {"texts", "integers", "floats", "array"}


def present(value: str, family: str) -> str:
    """Read a value; NULL = missing."""
    if family == "text":
        return f"CASE WHEN trim({value}) <> '' THEN CAST({value} AS VARCHAR) END"
    if family == "float":
        return f"nullif(CAST({value} AS DOUBLE), CAST('NaN' AS DOUBLE))"
    if family in _LISTS:
        return f"CASE WHEN len({value}) > 0 THEN {value} END"
    return "CAST(NULL AS VARCHAR)" if family == "null" else value


def number_of(value: str, family: str) -> str:
    """Read a value as a number; NULL = it is none, or missing."""
    if family == "text":
        return f"nullif(TRY_CAST(trim({value}) AS DOUBLE), CAST('NaN' AS DOUBLE))"
    if family in _NUMBERS:
        return f"nullif(CAST({value} AS DOUBLE), CAST('NaN' AS DOUBLE))"
    return "CAST(NULL AS DOUBLE)"


def moment_of(value: str, family: str) -> str:
    """Read a value as a moment in microseconds; a number is one in s, ms, us or ns since 1970, by its size."""
    if family == "timestamp":
        return f"CASE WHEN isfinite(CAST({value} AS TIMESTAMPTZ)) THEN epoch_us(CAST({value} AS TIMESTAMPTZ)) END"
    number = number_of(value, family)
    sized = (
        f"CASE WHEN {number} >= 1e18 THEN NULL WHEN {number} >= 1e17 THEN {number} / 1e3 WHEN {number} >= 1e14 "
        f"THEN {number} WHEN {number} >= 1e11 THEN {number} * 1e3 WHEN {number} >= 1e8 THEN {number} * 1e6 END"
    )
    sized = f"TRY_CAST({sized} AS BIGINT)" if family in {"integer", "float", "text"} else "CAST(NULL AS BIGINT)"
    if family != "text":
        return sized
    text = f"TRY_CAST({value} AS TIMESTAMPTZ)"
    return f"coalesce({sized}, CASE WHEN isfinite({text}) THEN epoch_us({text}) END)"


def not_of_type(value: str, family: str, kind: str) -> str:
    """Find values that cannot be read as number, integer, text, bool or timestamp."""
    number = number_of(value, family)
    if kind == "text":
        fits = "false" if family in {*_LISTS, "struct", "other"} else "true"
    elif kind == "number":
        fits = f"{number} IS NOT NULL"
    elif kind == "integer":
        fits = f"coalesce({number} = trunc({number}), false)"
    elif kind == "bool" and family == "text":
        fits = f"TRY_CAST(trim({value}) AS BOOLEAN) IS NOT NULL"
    elif kind == "bool":
        fits = f"coalesce({number} IN (0, 1), false)"
    else:
        fits = f"{moment_of(value, family)} IS NOT NULL"
    return f"{present(value, family)} IS NOT NULL AND NOT ({fits})"


def below(value: str, family: str, least: float) -> str:
    """Find values below a bound, or that are no numbers."""
    return f"{present(value, family)} IS NOT NULL AND NOT coalesce({number_of(value, family)} >= {least!r}, false)"


def above(value: str, family: str, most: float) -> str:
    """Find values above a bound, or that are no numbers."""
    return f"{present(value, family)} IS NOT NULL AND NOT coalesce({number_of(value, family)} <= {most!r}, false)"


def not_among(value: str, family: str, allowed: Sequence[str]) -> str:
    """Find values, or lists with an entry, that are not allowed; numbers are compared as numbers."""
    listed = ", ".join(map(literal, allowed))
    if family in _LISTS:
        return f"len(list_filter(CAST({value} AS VARCHAR[]), lambda x: x NOT IN ({listed}))) > 0"
    if family in {"integer", "float"}:
        numbers = f"list_transform([{listed}], lambda x: TRY_CAST(x AS DOUBLE))"
        return f"{present(value, family)} IS NOT NULL AND NOT list_contains({numbers}, {number_of(value, family)})"
    return f"{present(value, family)} IS NOT NULL AND trim(CAST({value} AS VARCHAR)) NOT IN ({listed})"


def id_of(value: str, family: str) -> str:
    """Read a value as an id: whole floats as integers, the rest as text."""
    if family == "float":
        whole = f"{value} = trunc({value}) AND abs({value}) < 9007199254740992"
        return f"CASE WHEN {whole} THEN CAST(CAST({value} AS BIGINT) AS VARCHAR) END"
    return f"CAST({value} AS VARCHAR)"


def not_described(value: str, family: str, what: str) -> str:
    """Find values that are not the id of a described item or user."""
    known = f"(SELECT id FROM staged_described WHERE what = {literal(what)})"
    return f"{present(value, family)} IS NOT NULL AND coalesce({id_of(value, family)} NOT IN {known}, true)"


def tally(faults: Sequence[str], moments: Sequence[str], relation: str) -> str:
    """Count the rows, and those with each fault; then the newest of each moment."""
    asked = ["count(*)", *(f"count(*) FILTER (WHERE {fault})" for fault in faults), *(f"max({m})" for m in moments)]
    return f"SELECT {', '.join(asked)} FROM {quoted(relation)}"


def first_fault(fault: str, value: str, relation: str) -> str:
    """Find the first row with a fault, and what stands there."""
    rows = f"SELECT row_number() OVER () AS _row, CAST({value} AS VARCHAR) AS v, {fault} AS bad FROM {quoted(relation)}"
    return f"SELECT min(_row), arg_min(coalesce(v, ''), _row) FROM ({rows}) WHERE bad"


def faulty_rows(faults: Sequence[str], relation: str) -> str:
    """List the rows with any of the faults, and which of them is the first."""
    cases = " ".join(f"WHEN {fault} THEN {code}" for code, fault in enumerate(faults))
    rows = f"SELECT row_number() OVER () AS _row, CASE {cases} END AS code FROM {quoted(relation)}"
    return f"SELECT _row, CAST(code AS SMALLINT) AS code FROM ({rows}) WHERE code IS NOT NULL ORDER BY _row"


def add_checked(place: int, file: int, value: str, family: str, relation: str) -> str:
    """Add the values of a column to those in which none may stand twice."""
    there = present(value, family)
    rows = f"SELECT row_number() OVER () AS _row, CAST({there} AS VARCHAR) AS v FROM {quoted(relation)}"
    return f"INSERT INTO staged_checked SELECT {place}, {file}, _row, v FROM ({rows}) WHERE v IS NOT NULL"


def insert_described(what: str, identity: str, relation: str) -> str:
    """Add the ids of a relation to those that are described."""
    return f"INSERT INTO staged_described SELECT {literal(what)}, CAST({identity} AS VARCHAR) FROM {quoted(relation)}"


def clipped(
    clips: Mapping[tuple[str, str], tuple[str, str, float | None, float | None]], relation: str, base: str
) -> str:
    """Let `relation` be a view of `base` whose numbers are clipped: {(column, field): (family, kind, least, most)}.

    A column keeps its type; of integers the nearest ones within the bounds are taken.
    """
    replaced: dict[str, str] = {}
    updated: dict[str, list[str]] = {}
    for (column, inner), (family, kind, least, most) in clips.items():
        name = field(column, inner) if inner else quoted(column)
        number = number_of(name, family)
        whole = family == "integer"
        cases = []
        if least is not None:
            to = f"ceil({least!r})" if whole else repr(least)
            cases.append(f"WHEN {number} < {least!r} THEN CAST({to} AS {kind})")
        if most is not None:
            to = f"floor({most!r})" if whole else repr(most)
            cases.append(f"WHEN {number} > {most!r} THEN CAST({to} AS {kind})")
        value = f"CASE {' '.join(cases)} ELSE {name} END"
        if inner:
            updated.setdefault(quoted(column), []).append(f"{quoted(inner)} := {value}")
        else:
            replaced[quoted(column)] = value
    for name, fields in updated.items():
        replaced[name] = f"CASE WHEN {name} IS NOT NULL THEN struct_update({name}, {', '.join(fields)}) END"
    listed = ", ".join(f"{value} AS {name}" for name, value in replaced.items())
    what = f"SELECT * REPLACE ({listed}) FROM {quoted(base)}"
    return f"CREATE OR REPLACE TEMP VIEW {quoted(relation)} AS {what}"
