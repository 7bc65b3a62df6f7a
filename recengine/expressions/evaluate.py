"""Tree + columns -> mask: which items an expression keeps.

Stands under eligibility (stage 3 of the online spine) and rules. In: a parsed expression and the item `Catalogue`.
Out: one byte an item.

Logic has two values. A comparison with a missing value is false, whatever the operator (`!=` and `not in` too), and
`not` turns that into true: `brand != "Acme"` keeps items of another known brand, `not brand == "Acme"` also those
without a brand.
"""

import operator
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any, NoReturn

import numpy as np

from recengine.errors import BadExpression
from recengine.expressions.tree import And, Compare, Constant, Expression, Flag, Not, Now, Or, Within
from recengine.types import NO_TIME, Bools, Catalogue, Column, Mask

__all__ = ("mask",)

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WANTED = {"bool": "true or false", "number": "a number", "timestamp": 'an ISO time such as "2024-01-31", or now'}


def mask(expression: Expression, catalogue: Catalogue, *, now: int) -> Mask:
    """Evaluate over all items.

    - bool, number, string, timestamp: as one would expect; strings compare by code point, times without an offset
      are UTC.
    - strings (several labels): `==` and `in` mean "has any of these", `!=` and `not in` "has labels, and none of
      these".
    - text: `==`, `!=`, `in`, `not in` with the whole text. Vectors cannot be compared.

    Parameters
    ----------
    expression : as `parse` returns it.
    catalogue : the items.
    now : the moment of the request, microseconds.

    Returns
    -------
    (n,) uint8, a new array: 1 = the expression holds.

    Raises
    ------
    BadExpression : an attribute does not exist (the nearest names are said), or is compared with a value of another
    type.

    Cost: one pass over a column for each condition; for strings also one over the labels.
    """
    return _holds(expression, catalogue, now).astype(np.uint8)


def _holds(expression: Expression, catalogue: Catalogue, now: int) -> Bools:
    match expression:
        case And(operands):
            return np.asarray(np.all([_holds(o, catalogue, now) for o in operands], axis=0), dtype=np.bool_)
        case Or(operands):
            return np.asarray(np.any([_holds(o, catalogue, now) for o in operands], axis=0), dtype=np.bool_)
        case Not(operand):
            return ~_holds(operand, catalogue, now)
        case Constant(value):
            return np.full(catalogue.n, value)
        case Flag(attribute):
            return _compared(attribute, _column(attribute, catalogue), "==", value=True)
        case Compare(attribute, sign, value):
            moment = _moment(value, now) if isinstance(value, Now) else value
            return _compared(attribute, _column(attribute, catalogue), sign, moment, is_now=isinstance(value, Now))
        case Within(attribute, values, negated):
            return _within(attribute, _column(attribute, catalogue), values, negated)


def _column(attribute: str, catalogue: Catalogue) -> Column:
    column = catalogue.columns.get(attribute)
    if column is None:
        near = get_close_matches(attribute, catalogue.columns, n=3, cutoff=0.5)
        known = near or sorted(catalogue.columns)[:10]
        said = f"nearest: {', '.join(known)}" if near else f"there are: {', '.join(known) or 'none'}"
        raise BadExpression(f"items have no attribute {attribute!r}; {said}", hint="names are case-sensitive")
    if column.kind == "vector":
        raise BadExpression(f"{attribute!r} is a vector, which cannot be compared", hint="filter by another attribute")
    return column


def _compared(attribute: str, column: Column, sign: str, value: Any, *, is_now: bool = False) -> Bools:
    if column.kind in ("strings", "text") and sign in ("==", "!="):
        return _within(attribute, column, (value,), negated=sign == "!=")
    if column.kind in ("strings", "text") or (column.kind == "bool" and sign not in ("==", "!=")):
        raise BadExpression(
            f"{attribute!r} is {_named(column)}, which `{sign}` cannot compare", hint="use ==, !=, in or not in"
        )
    compare = _COMPARE[sign]
    if column.kind == "string":
        _typed(attribute, column, value, str)
        return _by_label(
            column, np.fromiter((compare(label, value) for label in column.labels), np.bool_, len(column.labels))
        )
    wanted = value if is_now and column.kind == "timestamp" else _literal(attribute, column, value, is_now=is_now)
    return np.asarray(compare(column.data, wanted) & _known(column), dtype=np.bool_)


def _within(attribute: str, column: Column, values: Sequence[Any], negated: bool) -> Bools:
    if column.kind in ("string", "strings", "text"):
        for value in values:
            _typed(attribute, column, value, str)
        chosen = frozenset(values)
        if column.kind == "text":
            found = np.fromiter((text in chosen for text in column.data), np.bool_, len(column.data))
        else:
            found = _by_label(
                column, np.fromiter((label in chosen for label in column.labels), np.bool_, len(column.labels))
            )
    else:
        wanted = [_literal(attribute, column, value) for value in values]
        found = np.isin(column.data, np.array(wanted, dtype=column.data.dtype))  # no literal equals a missing value
    return ~found & _known(column) if negated else found


def _by_label(column: Column, chosen: Bools) -> Bools:
    """Spread an answer by label over the items: the item's label, or any of its labels."""
    if column.indptr is None:
        return np.asarray(
            np.append(chosen, False)[column.data], dtype=np.bool_
        )  # the code of a missing value, -1, takes the last place
    hits = np.concatenate(([0], np.cumsum(chosen[column.data])))
    return np.asarray(hits[column.indptr[1:]] > hits[column.indptr[:-1]], dtype=np.bool_)


def _known(column: Column) -> Bools:
    match column.kind:
        case "bool":
            known = column.data != 2
        case "number":
            known = ~np.isnan(column.data)
        case "timestamp":
            known = column.data != NO_TIME
        case "text":
            known = np.fromiter((text is not None for text in column.data), np.bool_, len(column.data))
        case _:
            known = column.data >= 0 if column.indptr is None else np.diff(column.indptr) > 0
    return np.asarray(known, dtype=np.bool_)


def _literal(attribute: str, column: Column, value: Any, *, is_now: bool = False) -> bool | float | int:
    """Bring a literal to the unit of a bool, number or timestamp column."""
    if column.kind == "timestamp" and isinstance(value, str):
        return _microseconds(attribute, value)
    fits = isinstance(value, bool) if column.kind == "bool" else column.kind == "number" and isinstance(value, float)
    if is_now or not fits:
        _mismatch(attribute, column, "now" if is_now else value)
    return value  # type: ignore[no-any-return]


def _microseconds(attribute: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as err:
        raise BadExpression(
            f"{attribute!r} is a timestamp: expected {_WANTED['timestamp']}, got {text!r}", hint="times are ISO 8601"
        ) from err
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _moment(value: Now, now: int) -> int:
    seconds = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400, "weeks": 604_800}[value.unit]
    return now + int(
        min(max(value.amount * seconds * 1e6, -1e19), 1e19)
    )  # numpy compares int64 with larger integers too


def _typed(attribute: str, column: Column, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        _mismatch(attribute, column, value)


def _mismatch(attribute: str, column: Column, value: Any) -> NoReturn:
    said = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    wanted = _WANTED.get(column.kind, "text in quotes")
    raise BadExpression(
        f"{attribute!r} is {_named(column)}: expected {wanted}, got {said}",
        hint="compare it with a value of its own type",
    )


def _named(column: Column) -> str:
    return {"strings": "a list of strings"}.get(column.kind, f"a {column.kind}")
