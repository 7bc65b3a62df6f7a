"""One value of an attribute: whether it may be kept, of what kind a new one is, and the form in which it is kept.

Stands under the doors (`checked`), the fold of live versions and their way into the store (`inferred`, `kept`).

Why here: the kinds are the store's, and what is folded in memory must be what a restart reads. `inferred` decides as
ingest decides about a JSON column that holds this one value (`offline/ingest/attributes.py`).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, NamedTuple, NoReturn, TypeAlias

import numpy as np

from recengine.errors import BadRequest
from recengine.store.catalog import Kind
from recengine.types import Column

__all__ = (
    "LONG",
    "MAX_ATTRIBUTES",
    "MAX_NAME",
    "Shape",
    "Value",
    "checked",
    "inferred",
    "kept",
    "shape_of",
    "valid_name",
)

Value: TypeAlias = bool | float | int | str | list[str] | list[float]
"""As kept: bool, float (number), int (timestamp, microseconds), str (string, text), list of str, list of float32."""

MAX_NAME, MAX_ATTRIBUTES = 128, 1_000
MAX_TEXT, MAX_LABELS, MAX_VECTOR = 10_000, 1_000, 4_096
LONG = 64
"""Characters from which on a text is no category."""

_RESERVED = frozenset(("item_id", "user_id", "available", "valid_from"))
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]|\r(?!\n)")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d(:?\d\d)?)?)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WANTED: dict[Kind, str] = {
    "bool": "true or false",
    "number": "a number",
    "string": "text",
    "text": "text",
    "strings": "a list of texts",
    "timestamp": "an ISO time",
    "vector": "a list of numbers",
}


class Shape(NamedTuple):
    """The kind of an attribute, and the length of a vector (else 0)."""

    kind: Kind
    size: int = 0


def valid_name(name: str) -> bool:
    """Say whether `name` may name an attribute: 1 to 128 printable characters, not all of them spaces."""
    return bool(name.strip()) and len(name) <= MAX_NAME and name.isprintable()


def shape_of(column: Column) -> Shape:
    """Tell the shape of the attribute that a column holds."""
    return Shape(column.kind, column.data.shape[1] if column.kind == "vector" else 0)


def checked(
    columns: Mapping[str, Column],
    attributes: Mapping[str, Any],
    claimed: dict[str, Shape],
    *,
    place: str = "attributes",
) -> dict[str, Any]:
    """Refuse attributes that could not be kept as they are said; called at the door, before anything is written.

    Parameters
    ----------
    columns : what the catalogue has.
    attributes : as a caller said them; None = to be taken away. Numpy values and datetimes are fine.
    claimed : takes the shapes of new names, so that the versions of one call agree; begin with {}.
    place : names the attributes in messages.

    Returns
    -------
    The same with plain values that JSON and msgpack can hold; times as ISO text.

    Raises
    ------
    BadRequest : naming the attribute, what was expected and what came.
    """
    if not isinstance(attributes, Mapping):
        raise BadRequest(f"{place}: expected names with values, got {_called(attributes)}")
    if len(attributes) > MAX_ATTRIBUTES:
        raise BadRequest(f"{place}: {len(attributes)} attributes", hint=f"at most {MAX_ATTRIBUTES}")
    out: dict[str, Any] = {}
    for name, said in attributes.items():
        _check_name(name, place)
        value = out[name] = _plain(said)
        if value is None:
            continue
        where = f"{place}.{name}"
        shape = shape_of(columns[name]) if name in columns else claimed.get(name)
        if shape is None:
            shape = inferred(where, value)
            if shape is None:
                continue
            if len(columns) + sum(new not in columns for new in claimed) >= MAX_ATTRIBUTES:
                raise BadRequest(f"{where}: there are {MAX_ATTRIBUTES} attributes already", hint="use one of them")
        kept(where, shape, value)
        claimed.setdefault(name, shape)
    return out


def inferred(place: str, value: Any) -> Shape | None:
    """Decide the shape of a new attribute by its first value; None = an empty one, which tells nothing.

    Raises
    ------
    BadRequest : it can be no attribute.
    """
    match value:
        case bool():
            return Shape("bool")
        case int() | float():
            return Shape("number")
        case "" | []:
            return None
        case str():
            moment = _MOMENT.fullmatch(value) and _moment(value) is not None
            return Shape("timestamp" if moment else "text" if len(value) > LONG else "string")
        case list():
            numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
            if not numbers or not any(isinstance(v, float) for v in value):
                return Shape("strings")
            if len(value) > MAX_VECTOR:
                raise BadRequest(f"{place}: a new vector of {len(value)} numbers", hint=f"at most {MAX_VECTOR}")
            return Shape("vector", len(value))
    raise BadRequest(
        f"{place}: expected a value or a list of values, got {_called(value)}",
        hint="use true or false, a number, text, a list of texts or of numbers, an ISO time",
    )


def kept(place: str, shape: Shape, value: Any) -> Value | None:
    """Bring a value to the form in which it is kept; None = it is empty, which is as good as missing.

    Raises
    ------
    BadRequest : it is of another kind, or out of range.
    """
    match shape.kind, value:
        case "bool", bool():
            return value
        case "number", int() | float() if not isinstance(value, bool):
            return _number(place, value)
        case "string" | "text", str():
            return _text(place, value) or None
        case "timestamp", str():
            moment = _moment(value)
            if moment is not None:
                return moment
        case "strings", list():
            if len(value) > MAX_LABELS:
                raise BadRequest(f"{place}: a list of {len(value)}", hint=f"at most {MAX_LABELS}")
            return [text for text in (_label(f"{place}[{k}]", v) for k, v in enumerate(value)) if text] or None
        case "vector", list():
            return _vector(place, value, shape.size)
    return _refuse(place, _WANTED[shape.kind], value)


def _number(place: str, value: float) -> float:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise BadRequest(f"{place}: an integer beyond 64 bits")
    if not isfinite(value):
        raise BadRequest(f"{place}: expected a finite number, got {value}")
    return float(value)


def _text(place: str, value: str) -> str:
    if len(value) > MAX_TEXT:
        raise BadRequest(f"{place}: a text of {len(value)} characters", hint=f"at most {MAX_TEXT}")
    found = _CONTROL.search(value)
    if found:
        raise BadRequest(f"{place}: control character U+{ord(found[0]):04X} at {found.start()}")
    return value


def _label(place: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        _number(place, value)
        return str(value)
    return _text(place, value) if isinstance(value, str) else _refuse(place, "text", value)


def _vector(place: str, value: list[Any], size: int) -> list[float]:
    if len(value) != size:
        raise BadRequest(f"{place}: expected {size} numbers, got {len(value)}")
    for k, v in enumerate(value):
        if isinstance(v, bool) or not isinstance(v, int | float):
            _refuse(f"{place}[{k}]", "a number", v)
        if abs(_number(f"{place}[{k}]", v)) > float(np.finfo(np.float32).max):
            raise BadRequest(f"{place}[{k}]: {v} is beyond float32, in which vectors are kept")
    rounded: list[float] = np.array(value, dtype=np.float64).astype(np.float32).tolist()
    return rounded


def _moment(text: str) -> int | None:
    """Read an ISO time as microseconds, UTC where it names no offset; None = it is none."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist()) if value.dtype.kind in "biufU" else value
    return list(value) if isinstance(value, tuple) else value


def _check_name(name: Any, place: str) -> None:
    if not isinstance(name, str) or not valid_name(name):
        raise BadRequest(
            f"{place}: {str(name)[:40]!r} cannot name an attribute", hint=f"use 1 to {MAX_NAME} printable characters"
        )
    if name in _RESERVED:
        raise BadRequest(f"{place}.{name}: a field of its own, not an attribute", hint="say it beside the attributes")


def _refuse(place: str, wanted: str, value: Any) -> NoReturn:
    raise BadRequest(f"{place}: expected {wanted}, got {_called(value)}")


def _called(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "an object"
    return type(value).__name__
