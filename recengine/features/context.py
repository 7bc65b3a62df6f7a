"""Features of the moment and the place of a request, the same in training and serving.

Below both spines. In: moments, and what a request tells of itself (`Request.context`), or told when it was recorded.
Out: float32 in the order of `CONTEXT_VALUES`; what is not known is NaN. Clocks are UTC. An order below
`MICROSECONDS_FROM` is no moment: what needs the time is NaN there.

Why the calendar is arithmetic on whole numbers: the same lines serve one request in a microsecond, without an array or
a datetime, and a column of a million.
"""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import numpy as np

from recengine.features.counted import CONTEXT
from recengine.features.lanes import coded
from recengine.features.signals import BUCKET
from recengine.types import F32, I64, MICROSECONDS_FROM, Column

__all__ = ("CONTEXT_VALUES", "labels_told", "read_context", "read_contexts")

CONTEXT_VALUES = (
    "context_hour",
    "context_weekday",
    "context_weekend",
    "context_season",
    "context_device",
    "context_location",
    "context_referrer",
    "context_position",
)
"""Hour 0-23; weekday 0-6, 0 = Monday; weekend 0 or 1; season = day of the year, 0-365; codes into the labels of
`context.device`, `context.location`, `context.referrer`; position on the page, as told, or in the reply, 1 = first."""
_LABELS = tuple(line.domain for line in CONTEXT if line.domain)
"""Keys of a request's context that are categories, of the domain `context.<key>`."""
_LONGEST: Final = 64
"""Characters of a label; a longer text is none."""
_HOURS: Final = 24
_FURTHEST: Final = 1e15
_MISSING: Final = float("nan")
_Whole = TypeVar("_Whole", int, I64)


def _calendar(time: _Whole) -> tuple[_Whole, _Whole, _Whole, _Whole]:
    """Take moments apart into hour, weekday, weekend and day of the year, by whole-number division rounding down.

    The day of the year counts from 1 March first, so that a leap day comes last (Hinnant 2013, chrono-compatible
    low-level date algorithms, `civil_from_days`).
    """
    hours = time // BUCKET
    days = hours // _HOURS
    weekday = (days + 3) % 7  # 1970-01-01 was a Thursday
    since = days + 719_468  # days since 0000-03-01
    of_era = since % 146_097
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    from_march = of_era - (365 * year + year // 4 - year // 100)
    leap = (year % 4 == 0) * 1 - (year % 100 == 0) * (year > 0) * 1
    spring = (from_march < 306) * 1  # March to December
    of_year = spring * (from_march + 59 + leap) + (1 - spring) * (from_march - 306)
    return hours % _HOURS, weekday, (weekday >= 5) * 1, of_year


def labels_told(told: Mapping[str, Any]) -> dict[str, str]:
    """Say the categories that a request tells, as they are recorded and coded: texts of at most 64 characters.

    Of a list the first label counts. Other keys and other kinds of value say nothing here.
    """
    found: dict[str, str] = {}
    for key in _LABELS:
        label = told.get(key)
        if isinstance(label, list | tuple) and label:
            label = label[0]
        if isinstance(label, str) and len(label) <= _LONGEST:
            found[key] = label
    return found


def read_contexts(times: I64, told: Mapping[str, Column] = {}, labels: Mapping[str, tuple[str, ...]] = {}) -> F32:
    """Read many moments of the past.

    Parameters
    ----------
    times : int64 (m,) microseconds.
    told : by key what requests of these moments told, as far as they were recorded: strings, and the number `position`.
    labels : as in `read_context`.

    Returns
    -------
    float32 (8, m), in the order of `CONTEXT_VALUES`. Cost: 0.1 us a moment.
    """
    out = np.full((len(CONTEXT_VALUES), len(times)), np.nan, np.float32)
    moments = times >= MICROSECONDS_FROM
    for row, values in enumerate(_calendar(times)):
        out[row] = np.where(moments, values, np.float32(np.nan))
    for row, key in enumerate(_LABELS, start=4):
        codes = coded(told.get(key), labels.get(f"context.{key}", ()), len(times))
        out[row] = np.where(codes >= 0, codes, np.float32(np.nan))
    if "position" in told:
        out[-1] = told["position"].data
    return out


def read_context(time: int, told: Mapping[str, Any], labels: Mapping[str, tuple[str, ...]]) -> F32:
    """Read one request.

    Parameters
    ----------
    time : microseconds.
    told : its context; what counts of it says `labels_told`.
    labels : by domain, ascending; a label that is not among them is NaN.

    Returns
    -------
    float32 (8,), in the order of `CONTEXT_VALUES`. Cost: 3 us.
    """
    clock = _calendar(time) if time >= MICROSECONDS_FROM else (_MISSING,) * 4
    said = labels_told(told)
    codes = (_code(said.get(key), labels.get(f"context.{key}", ())) for key in _LABELS)
    position = told.get("position")
    placed = isinstance(position, int | float) and not isinstance(position, bool) and abs(position) <= _FURTHEST
    return np.array([*clock, *codes, position if placed else _MISSING], np.float32)


def _code(label: str | None, labels: tuple[str, ...]) -> float:
    if label is None:
        return _MISSING
    code = bisect_left(labels, label)
    return float(code) if code < len(labels) and labels[code] == label else _MISSING
