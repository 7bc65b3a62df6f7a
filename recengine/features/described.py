"""Attributes of one item or user as plain values, the same in training, serving and for whoever asks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from recengine.types import NO_TIME, Catalogue, Column

__all__ = ("described", "value_of")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def value_of(column: Column, row: int) -> bool | float | int | str | list[str] | list[float] | None:
    """Read one value: bool, float, str, list of str, int (a timestamp, microseconds), list of float; None = missing."""
    if column.indptr is not None:
        lo, hi = int(column.indptr[row]), int(column.indptr[row + 1])
        return [column.labels[code] for code in column.data[lo:hi].tolist()] if hi > lo else None
    value: Any = column.data[row]
    match column.kind:
        case "bool":
            return bool(value) if value != 2 else None
        case "number":
            number = float(value)
            return number if number == number else None  # noqa: PLR0124 - NaN differs from itself
        case "string":
            return column.labels[value] if value >= 0 else None
        case "timestamp":
            return int(value) if value != NO_TIME else None
        case "text":
            return value  # type: ignore[no-any-return]
    numbers: list[float] = value.tolist()
    return None if np.isnan(value).any() else numbers


def described(catalogue: Catalogue, row: int) -> dict[str, Any]:
    """Return what is known of one item or user as plain values that JSON has; what is missing is left out.

    Times are ISO text in UTC; numbers of a vector are written as short as float32 allows. Handed in again they say
    the same.

    Parameters
    ----------
    row : one beyond the catalogue is not described yet.
    """
    out: dict[str, Any] = {}
    if not 0 <= row < catalogue.n:
        return out
    for name, column in catalogue.columns.items():
        value = value_of(column, row)
        if value is None:
            continue
        if column.kind == "timestamp":
            out[name] = _iso(value)
        elif column.kind == "vector":
            out[name] = [float(str(number)) for number in column.data[row]]
        else:
            out[name] = value
    return out


def _iso(moment: Any) -> str | int:
    try:
        return (_EPOCH + timedelta(microseconds=moment)).isoformat().replace("+00:00", "Z")
    except OverflowError:  # a file may hold times beyond the year 9999
        return int(moment)
