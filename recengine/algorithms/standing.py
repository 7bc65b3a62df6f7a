"""How items stand with everybody: from sums of what was done with each to scores and an order of rows.

Stands under both spines: `popularity.py` tallies the events it is trained on, `online/counters.py` adds those that came
since, and both make a `Standing` of their sums here. In: counts, plain and weighed by age. Out: scores 0..1, and rows
best first.

Why one place: what counts since training joins sums that training made, so `growth` and `standing` have to be the same
arithmetic, to the bit, on both sides.
"""

from typing import NamedTuple

import numpy as np

from recengine.types import F32, F64, I32, I64, MICROSECONDS_FROM, NO_TIME

__all__ = ("DAY", "Standing", "Tally", "clock_of", "descending", "growth", "half_life", "standing")

DAY = 86_400_000_000
NOMINAL_SPAN_DAYS = 365.0


class Tally(NamedTuple):
    """The sums behind the scores, which later events add to (`online/counters.py`)."""

    counts: F64
    """Weights of all entries, float64 (n_items,)."""
    recent: F64
    """The same, each weighed by `growth`."""
    newest: float
    """The moment at which `growth` is 1: that of the newest entry."""
    oldest: float
    half_life: float
    """In the unit of the times."""


class Standing(NamedTuple):
    """How items stand: float32 (n_items,), 0..1 each; `scores` are the blend of the two."""

    all_time: F32
    trending: F32
    scores: F32


def standing(counts: F64, recent: F64, share: float) -> Standing:
    """Turn sums into scores; the largest of each kind is 1. `recent` is to weigh the newest event 1."""
    all_time, trending = _scaled(counts), _scaled(recent)
    part = np.float32(share)
    return Standing(all_time, trending, (np.float32(1) - part) * all_time + part * trending)


def growth(times: I64, newest: float, oldest: float, half_life: float) -> F64:
    """Weigh events 2 ** ((time - newest) / half_life): forward decay (Cormode et al. 2009, section 3).

    1 at `newest`, and at most 2 ** 1000 for later ones; one whose time is missing is as old as `oldest`. Later events
    are added to sums of it without touching them, and another `newest` is one factor for all.
    """
    moments = np.where(times != NO_TIME, times, oldest).astype(np.float64)
    return np.exp2(np.minimum((moments - newest) / half_life, 1000.0))


def half_life(times: I64, days: float) -> float:
    """Return the half-life in the unit of `times` (int64, none missing); infinite where all are equal.

    Microseconds are taken as they are. An order of small integers (positions, Unix seconds ...) has no known unit:
    its whole span counts as one year, so the half-life is days / 365 of the span.
    """
    if int(times.max()) >= MICROSECONDS_FROM:
        return days * DAY
    span = float(int(times.max()) - int(times.min()))
    return span * days / NOMINAL_SPAN_DAYS if span > 0 else float("inf")


def clock_of(times: I64, days: float) -> tuple[float, float, float]:
    """Return the newest and the oldest time, and the half-life; without any time all events are of one age."""
    known = times[times != NO_TIME]
    if len(known) == 0:
        return 0.0, 0.0, float("inf")
    return float(known.max()), float(known.min()), half_life(known, days)


def _scaled(counts: F64) -> F32:
    """Bring counts to 0..1 by log1p; they are so skewed that a linear scale puts the tail at 0."""
    logs = np.log1p(counts)
    return (logs / logs.max()).astype(np.float32) if logs.max() > 0 else np.zeros(len(counts), dtype=np.float32)


def descending(scores: F32) -> I32:
    """Sort rows by score, best first, equal ones by lower row."""
    return np.argsort(-scores, kind="stable").astype(np.int32)
