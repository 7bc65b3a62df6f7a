"""What an order column means: moments in one unit or another, or integers that only sort.

Part of the ingest stage. A column of numbers is taken for seconds, milliseconds, microseconds or
nanoseconds since 1970 when at least nine in ten of its numbers lie between 1993 and 2103 in that unit; else for
integers. Text is read as numbers where most of it is, else as dates (ISO 8601; in `cleaning.timezone` where no zone is
given).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recengine.errors import BadColumn
from recengine.offline.ingest.write import OrderUnit, moments
from recengine.store import compose
from recengine.store.events import OrderKind
from recengine.store.files import PART, Foreign, Part
from recengine.store.kinds import family

__all__ = ("OrderPlan", "plan_order")

_EARLIEST, _LATEST = 7.3e14, 4.2e15
"""1993 and 2103, in microseconds."""
_SCALES: dict[OrderUnit, tuple[int, int]] = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}
"""Unit -> (microseconds in it, units in a microsecond)."""
_MOST = 0.9
_WHOLE = 2.0**53
_NO_MOMENT = "NULL::BIGINT"


@dataclass(frozen=True)
class OrderPlan:
    """How to read the order column: the SQL, what comes out, and the first and last moment where known."""

    kind: OrderKind
    expression: str
    unit: OrderUnit
    window: tuple[int, int] | None

    @property
    def microseconds(self) -> str:
        """The SQL of the moment, where it is one."""
        if self.unit == "integer":
            return _NO_MOMENT
        scale, divide = _SCALES[self.unit]
        return self.expression if scale == divide else f"({self.expression}) * {scale}.0 / {divide}"

    def read(self, column: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Turn a batch of the column into times (n,) and say which rows have none."""
        if self.unit != "integer":
            return moments(column, *_SCALES[self.unit])
        missing = np.asarray(column.is_null()) if column.null_count else np.zeros(len(column), dtype=np.bool_)
        raw: npt.NDArray[Any] = (column.fill_null(0) if column.null_count else column).to_numpy()
        if raw.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                missing = missing | ~((np.abs(raw) < _WHOLE) & (raw == np.trunc(raw)))
            raw = np.where(missing, 0, raw)
        return raw.astype(np.int64), missing


def plan_order(foreign: Foreign, part: Part, column: str, unit: OrderUnit, *, where: str) -> OrderPlan:
    """Survey the order column and decide. Cost: one scan of the column.

    Raises
    ------
    BadColumn : the column can be no order.
    """
    kind = family(part.columns[column])
    if kind not in {"integer", "float", "text", "timestamp", "null"}:
        raise BadColumn(
            f"{where}: the column {column!r} is {part.columns[column]}", hint="an order is a timestamp or a number"
        )
    number = compose.parsed_number(column) if kind == "text" else compose.quoted(column)
    moment = compose.text_time(column, kind) if kind in {"text", "timestamp"} else _NO_MOMENT
    survey = compose.order_extent(
        None if kind in {"timestamp", "null"} else number, None if moment == _NO_MOMENT else moment, PART
    )
    rows, numbers, dates, low, high, first, last = foreign.cursor.row(survey)
    if rows and not numbers and not dates:
        raise BadColumn(
            f"{where}: no row of the column {column!r} has a date or a number", hint="map another column to order"
        )
    if dates > numbers or not rows:
        return OrderPlan("timestamp", moment, "us", None if first is None else (first, last))
    if unit == "auto":
        unit = _unit(foreign, number, numbers, low, high)
    expression = (
        compose.whole_number(column, part.columns[column]) if kind == "integer" else f"CAST({number} AS DOUBLE)"
    )
    if unit == "integer":
        return OrderPlan("integer", expression, unit, _window(low, high, 1.0))
    scale, divide = _SCALES[unit]
    return OrderPlan("timestamp", expression, unit, _window(low, high, scale / divide))


def _unit(foreign: Foreign, number: str, numbers: int, low: float, high: float) -> OrderUnit:
    """Find the unit in which most of the numbers are moments; when the extremes agree, nothing else is counted."""
    ranges = {unit: (_EARLIEST / us * divide, _LATEST / us * divide) for unit, (us, divide) in _SCALES.items()}
    for unit, (start, end) in ranges.items():
        if start <= low and high <= end:
            return unit
    hits = foreign.cursor.row(compose.order_ranges(number, list(ranges.values()), PART))
    return next((unit for unit, hit in zip(ranges, hits, strict=True) if hit >= _MOST * numbers), "integer")


def _window(low: float, high: float, factor: float) -> tuple[int, int] | None:
    if not (np.isfinite(float(low)) and np.isfinite(float(high))):
        return None
    return int(np.floor(float(low) * factor)) - 1, int(np.ceil(float(high) * factor)) + 1
