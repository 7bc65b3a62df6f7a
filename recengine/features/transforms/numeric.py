"""Fit the transforms of numbers: scaling, ranks, and what goes round (hours, weekdays).

Offline, on training rows only. In: values of one feature, float32 (m,), NaN = missing (its default already in place).
Out: a `Step`. Fitted in float64 over the finite values, applied in float32.
"""

from collections.abc import Callable, Mapping

import numpy as np

from recengine.features.definition import Feature
from recengine.features.transforms.steps import Step, refused
from recengine.kernels.transform import AFFINE, CURVE, CYCLIC, KNOTS, LOG
from recengine.types import F32, F64

__all__ = ("CLIP", "NUMERIC", "PERIODS", "untouched")

CLIP = 10.0
"""Deviations from the middle at most: an outlier moves a model no further than that."""
PERIODS: Mapping[str, float] = {"context_hour": 24.0, "context_weekday": 7.0, "context_season": 366.0}
"""What goes round; another feature's period is its largest whole number + 1."""


def untouched(feature: Feature) -> Step:
    """Pass a feature on as it is; what is missing without a default stays NaN."""
    return Step(AFFINE, (feature.name,), missing=np.nan)


def _standard(feature: Feature, values: F32) -> Step:
    """(x - mean) / standard deviation."""
    known = _finite(values)
    return _scaled(AFFINE, feature, float(known.mean()), float(known.std()))


def _log(feature: Feature, values: F32) -> Step:
    """Standardise log(1 + x), negative x as 0: for counts and amounts, which are skewed."""
    known = np.log1p(np.maximum(_finite(values), 0))
    return _scaled(LOG, feature, float(known.mean()), float(known.std()))


def _robust(feature: Feature, values: F32) -> Step:
    """(x - median) / interquartile range; where half of all values are one, / standard deviation."""
    known = _finite(values)
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    return _scaled(AFFINE, feature, float(middle), float(high - low) or float(known.std()))


def _minmax(feature: Feature, values: F32) -> Step:
    """(x - min) / (max - min) within 0..1."""
    known = _finite(values)
    low, high = float(known.min()), float(known.max())
    return Step(AFFINE, (feature.name,), center=low, scale=1 / (high - low) if high > low else 0.0, low=0.0, high=1.0)


def _quantile(feature: Feature, values: F32) -> Step:
    """Rank among the training rows, 0..1: the share below plus half the share of equals, linear between 256 knots."""
    ordered = np.sort(_finite(values))
    distinct = np.unique(ordered)
    if len(distinct) > KNOTS:
        at = np.linspace(0, len(ordered) - 1, KNOTS).round().astype(np.int64)
        distinct = np.unique(ordered[at])
    below, to = np.searchsorted(ordered, distinct, "left"), np.searchsorted(ordered, distinct, "right")
    ranks = (below + to) / (2 * len(ordered))
    gaps = np.diff(distinct)
    steep = np.diff(ranks) / gaps
    table = np.zeros(3 * KNOTS + KNOTS // 16, np.float32)
    n = len(distinct)
    table[:KNOTS] = np.inf
    table[:n] = distinct
    table[KNOTS : KNOTS + n] = ranks
    table[2 * KNOTS : 2 * KNOTS + n - 1] = np.where(steep < np.finfo(np.float32).max, steep, 0)
    table[3 * KNOTS :] = table[15:KNOTS:16]
    low, high = float(distinct[0]), float(distinct[-1])
    return Step(CURVE, (feature.name,), low=low, high=high, table=table, length=n)


def _cyclic(feature: Feature, values: F32) -> Step:
    """Sine and cosine of x / period turns, so that 23 h and 0 h are neighbours."""
    period = PERIODS.get(feature.name) or float(np.floor(_finite(values).max())) + 1
    if period <= 0:
        raise refused(feature, "numbers from 0 on", f"at most {period - 1:g}")
    return Step(CYCLIC, (f"{feature.name}.sin", f"{feature.name}.cos"), scale=1 / period)


def _scaled(op: int, feature: Feature, center: float, spread: float) -> Step:
    scale = 1 / spread if spread > 0 else 0.0
    if not np.isfinite(np.float32(scale)):
        scale = 0.0
    return Step(op, (feature.name,), center=center, scale=scale, low=-CLIP, high=CLIP)


def _finite(values: F32) -> F64:
    """Return the finite values in float64; a single 0 where there is none, so that nothing known comes to 0."""
    known: F64 = values[np.isfinite(values)].astype(np.float64)
    return known if len(known) else np.zeros(1)


NUMERIC: Mapping[str, Callable[[Feature, F32], Step]] = {
    "standard": _standard,
    "robust": _robust,
    "minmax": _minmax,
    "log": _log,
    "quantile": _quantile,
    "cyclic": _cyclic,
}
