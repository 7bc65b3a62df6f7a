"""Decide what kind every free attribute of a file is: as the store remembers it, else from its type and content.

Part of the ingest stage. Text is `text` when it is long (more than 64 characters on average) or mostly
unique (more than half of more than 1,000 values), else `string`, a category. Lists of floats, and arrays of one length,
are vectors; other lists are `strings`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from recengine.errors import BadColumn
from recengine.offline.ingest.roles import what_is_there
from recengine.store import compose
from recengine.store.attributes import LONG, MAX_NAME, valid_name
from recengine.store.catalog import Attribute, Kind
from recengine.store.files import PART, Foreign, Part
from recengine.store.kinds import Family, family, vector_size

__all__ = ("Told", "check_split", "plan_attributes", "refuse_unknown_split")

_UNIQUE, _MANY = 0.5, 1_000

_KINDS: dict[Family, Kind] = {
    "bool": "bool",
    "integer": "number",
    "float": "number",
    "timestamp": "timestamp",
    "text": "string",
    "texts": "strings",
    "integers": "strings",
    "floats": "vector",
    "array": "vector",
}
_ACCEPTS: dict[Kind, set[Family]] = {
    "bool": {"bool"},
    "number": {"integer", "float", "bool"},
    "timestamp": {"timestamp"},
    "string": {"text"},
    "text": {"text"},
    "strings": {"texts", "integers"},
    "vector": {"floats", "array", "integers"},
}
"""What a kind, once remembered, takes later."""


@dataclass(frozen=True)
class Told:
    """What a file says of one attribute: its kind, the length of a vector, and the SQL that reads it."""

    kind: Kind
    size: int
    expression: str


def plan_attributes(
    foreign: Foreign,
    part: Part,
    taken: set[str],
    known: Mapping[str, Attribute],
    split: Mapping[str, str],
    *,
    seen: set[str],
    where: str,
) -> dict[str, Told]:
    """Plan all columns of `part` that are not `taken` by a role, {name: how}; a column without any value is left out.

    Parameters
    ----------
    known : the attributes of the store.
    split : {column: separator} of texts that hold lists.
    seen : takes the names of all columns that are free attributes here.

    Raises
    ------
    BadColumn : a type conflicts with the remembered kind, or can be no attribute; or vectors differ in length.
    """
    raw = _values(foreign, part, taken)
    seen.update(raw)
    told: dict[str, Told] = {}
    for name, (value, kind_name) in raw.items():
        found = family(kind_name)
        if found == "null":
            continue
        _check_name(name, where)
        told[name] = _plan(name, value, kind_name, known.get(name), split.get(name), where)
    return _measured(foreign, told, known, where)


def _values(foreign: Foreign, part: Part, taken: set[str]) -> dict[str, tuple[str, str]]:
    """List {name: (SQL, type)}; the fields of a struct column `attributes` stand for themselves."""
    out: dict[str, tuple[str, str]] = {}
    for name, kind in part.columns.items():
        if name in taken:
            continue
        if name == "attributes" and family(kind) == "struct":
            for inner, inner_kind, *_ in foreign.cursor.rows(compose.describe_fields(name, PART)):
                out[inner] = (compose.field(name, inner), inner_kind)
        else:
            out.setdefault(name, (compose.quoted(name), kind))
    return out


def _plan(name: str, value: str, kind_name: str, known: Attribute | None, separator: str | None, where: str) -> Told:
    found = family(kind_name)
    if found not in _KINDS:
        raise BadColumn(
            f"{where}: the attribute {name!r} is {kind_name}",
            hint="use bool, number, string, list of strings, text, timestamp or vector; drop or flatten the column",
        )
    kind: Kind = "strings" if separator is not None and found == "text" else _KINDS[found]
    if known is not None and kind != known.kind:
        if found not in _ACCEPTS[known.kind]:
            raise BadColumn(
                f"{where}: the attribute {name!r} is {kind_name} here, and a {known.kind} in the store",
                hint="give it the same type, or another name",
            )
        kind = known.kind
    return Told(kind, vector_size(kind_name), compose.attribute_value(value, kind, found, separator))


def _measured(foreign: Foreign, told: dict[str, Told], known: Mapping[str, Attribute], where: str) -> dict[str, Told]:
    """Tell texts from categories, and find the length of vectors. Cost: one scan of those columns."""
    texts = {name: t.expression for name, t in told.items() if t.kind == "string" and name not in known}
    vectors = {name: t.expression for name, t in told.items() if t.kind == "vector"}
    if not texts and not vectors:
        return told
    found = iter(foreign.cursor.row(compose.survey_attributes(texts, vectors, PART)))
    out = dict(told)
    for name in texts:
        rows, characters, distinct = next(found), next(found), next(found)
        if characters > LONG or (rows > _MANY and distinct > _UNIQUE * rows):
            out[name] = replace(told[name], kind="text")
    for name in vectors:
        shortest, longest = next(found), next(found)
        size = known[name].size if name in known else longest
        if shortest != longest or longest not in {0, size} or (size == 0 and name not in known):
            if longest == 0:
                del out[name]  # not one value
                continue
            lengths = f"{shortest} to {longest}" if shortest != longest else f"{longest}"
            raise BadColumn(
                f"{where}: the vectors of attribute {name!r} have {lengths} numbers, {size} expected",
                hint="all vectors of an attribute have one length",
            )
        out[name] = replace(told[name], size=size)
    return out


def _check_name(name: str, where: str) -> None:
    if not valid_name(name):
        raise BadColumn(
            f"{where}: {name[:40]!r} cannot name an attribute", hint=f"use 1 to {MAX_NAME} printable characters"
        )


def check_split(split: Mapping[str, str]) -> None:
    """Refuse a separator that separates nothing.

    Raises
    ------
    BadColumn : it is empty.
    """
    for name, separator in split.items():
        if not separator:
            raise BadColumn(f"split: the separator of {name!r} is empty", hint=f"such as {name}='|'")


def refuse_unknown_split(split: Mapping[str, str], present: Iterable[str]) -> None:
    """Refuse to split a column that is `present` as a free attribute in no file of items or users.

    Raises
    ------
    BadColumn : so.
    """
    listed = sorted(set(present))
    unknown = sorted(set(split) - set(listed))
    if unknown:
        names = ", ".join(map(repr, unknown))
        raise BadColumn(
            f"split: no attribute of items or users is called {names}", hint=what_is_there(unknown[0], listed)
        )
