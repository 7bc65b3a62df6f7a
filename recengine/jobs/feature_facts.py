"""What a report says of features, as plain numbers: how values spread, what is missing, drift, correlation.

In: the training table, rows oldest first, and what selection found. Out: `Facts`, which `feature_page` draws and
`recengine features report --json` prints. The two periods are the earlier and the later half of the rows, cut between
two moments.
"""

from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt

from recengine.features.associations import rank_correlations
from recengine.features.definition import Feature, FeatureSet
from recengine.features.lanes import Labels
from recengine.features.selection import SelectionReport
from recengine.metrics.drift import psi
from recengine.types import F32, F64, I64

__all__ = ("Bars", "FeatureFacts", "Pair", "correlations", "cut", "describe_feature")

BINS = 24
MOST_VALUES = 16
"""A number with no more values than this gets a bar for each."""
MOST_LABELS = 12
"""Categories that get a bar of their own; the others share one."""
EDGES = np.linspace(0.1, 0.9, 9)
"""Drift of numbers is told by tenths of the earlier period."""


class Bars(msgspec.Struct, frozen=True):
    """Shares of the rows that have a value, by bin, in both periods."""

    labels: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    continuous: bool
    """Bins touch; else each stands for one value."""


class FeatureFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything said of one feature."""

    name: str
    entity: str
    dtype: str
    note: str
    transform: str
    version: str
    missing: float
    """Share of rows, 0..1."""
    missing_before: float
    missing_after: float
    drift: float | None
    """Population stability index; None without two periods."""
    summary: dict[str, float]
    """Of numbers: min, median, mean, max; of categories: values."""
    bars: Bars
    kept: bool | None
    """None = the selection did not see it."""
    dropped: str
    """Why; empty where it was kept."""
    information: float | None
    """Mutual information with the outcome, nats; None = not judged."""
    alone: float | None
    """AUC of the feature by itself."""
    importance: float | None
    """What the probe's AUC loses without it; None = it was not in the probe."""


class Pair(msgspec.Struct, frozen=True):
    """Two features and their rank correlation."""

    one: str
    other: str
    correlation: float


def cut(times: I64) -> int:
    """Find the row at which the later period begins: the middle, moved to where a moment ends. Rows ascend by time."""
    m = len(times)
    if m == 0:
        return 0
    middle = times[m // 2]
    first, last = int(np.searchsorted(times, middle)), int(np.searchsorted(times, middle, side="right"))
    return first if m // 2 - first <= last - m // 2 and first > 0 else last


def describe_feature(
    feature: Feature, values: F32, at: int, labels: Labels, found: SelectionReport | None
) -> FeatureFacts:
    """Describe one feature.

    Parameters
    ----------
    values : (m,) float32, oldest first; NaN = missing, a category is its code.
    at : rows before it are the earlier period.
    found : by the selection; None = there was none.

    Cost: a sort of the values.
    """
    there = ~np.isnan(values)
    before, after = values[:at][there[:at]].astype(np.float64), values[at:][there[at:]].astype(np.float64)
    gone = (at - len(before), len(values) - at - len(after))
    if feature.dtype == "category":
        bars, drift = _categories(before, after, gone, labels.get(feature.domain, ()))
        summary = {"values": float(len(np.unique(values[there])))}
    else:
        bars = _numbers(before, after, logarithmic=feature.transform == "log")
        drift = _number_drift(before, after, gone)
        summary = _summary(values[there].astype(np.float64))
    judged = found.judged.get(feature.name) if found else None
    dropped = found.dropped.get(feature.name, "") if found else ""
    return FeatureFacts(
        name=feature.name,
        entity=feature.entity,
        dtype=feature.dtype,
        note=feature.note,
        transform=feature.transform,
        version=feature.version,
        missing=_share(sum(gone), len(values)),
        missing_before=_share(gone[0], at),
        missing_after=_share(gone[1], len(values) - at),
        drift=_known(drift),
        summary=summary,
        bars=bars,
        kept=_kept(feature.name, found),
        dropped=dropped,
        information=judged.information if judged else None,
        alone=judged.alone if judged else None,
        importance=judged.importance if judged else None,
    )


def correlations(features: FeatureSet, values: F32, *, rows: int = 5_000) -> tuple[tuple[str, ...], F64]:
    """Correlate the ranks of all numbers, as selection does, on at most `rows` rows, evenly taken.

    What is missing stands below every value. A category's code has no order: it is left out, and so is a number that
    never changes.

    Returns
    -------
    names (N,) and float64 (N, N) in -1..1.
    """
    m = values.shape[1]
    taken = np.unique(np.linspace(0, m - 1, min(m, rows)).astype(np.int64)) if m else np.empty(0, np.int64)
    some = values[:, taken]
    numbers = [k for k, f in enumerate(features.features) if f.dtype == "number" and _varies(some[k])]
    return tuple(features.features[k].name for k in numbers), rank_correlations(some[numbers])


def _varies(row: F32) -> bool:
    missing = np.isnan(row)
    known = row[~missing]
    return len(known) > 0 and bool(missing.any() or (known != known[0]).any())


def _numbers(before: F64, after: F64, *, logarithmic: bool) -> Bars:
    both = np.concatenate((before, after))
    if len(both) == 0:
        return Bars((), (), (), continuous=False)
    distinct = np.unique(both)
    if len(distinct) <= MOST_VALUES:
        one, other = (_shares((side[:, None] == distinct).sum(axis=0)) for side in (before, after))
        return Bars(tuple(_short(v) for v in distinct), one, other, continuous=False)
    low, high = np.quantile(both, (0.005, 0.995))
    if not low < high:
        low, high = distinct[0], distinct[-1]
    if logarithmic and low >= 0:
        edges = np.expm1(np.linspace(np.log1p(low), np.log1p(high), BINS + 1))
        edges[0], edges[-1] = low, high  # back and forth may miss by a bit
    else:
        edges = np.linspace(low, high, BINS + 1)
    one, other = (_shares(np.histogram(np.clip(side, low, high), edges)[0]) for side in (before, after))
    names = [f"{_short(a)} to {_short(b)}" for a, b in pairwise(edges.tolist())]
    names[0] = f"up to {_short(edges[1])}" if distinct[0] < low else names[0]
    names[-1] = f"{_short(edges[-2])} and more" if distinct[-1] > high else names[-1]
    return Bars(tuple(names), one, other, continuous=True)


def _number_drift(before: F64, after: F64, gone: tuple[int, int]) -> float:
    edges = np.unique(np.quantile(before, EDGES)) if len(before) else np.empty(0)
    n = len(edges) + 1
    sides = [np.bincount(np.searchsorted(edges, side, side="right"), minlength=n) for side in (before, after)]
    return psi(np.append(sides[0], gone[0]), np.append(sides[1], gone[1]))


def _categories(before: F64, after: F64, gone: tuple[int, int], names: tuple[str, ...]) -> tuple[Bars, float]:
    n = max(len(names), int(max(before.max(initial=-1), after.max(initial=-1))) + 1)
    sides = [np.bincount(side.astype(np.int64), minlength=n) for side in (before, after)]
    commonest = np.argsort(-(sides[0] + sides[1]), kind="stable")
    commonest = commonest[(sides[0] + sides[1])[commonest] > 0]
    own, rest = commonest[:MOST_LABELS], commonest[MOST_LABELS:]
    counts = [np.append(side[own], side[rest].sum()) if len(rest) else side[own] for side in sides]
    drift = psi(np.append(counts[0], gone[0]), np.append(counts[1], gone[1]))
    told = [names[code] if code < len(names) else str(code) for code in own]
    told += [f"{len(rest)} others"] if len(rest) else []
    return Bars(tuple(told), _shares(counts[0]), _shares(counts[1]), continuous=False), drift


def _kept(name: str, found: SelectionReport | None) -> bool | None:
    if found is None or not (name in found.kept or name in found.dropped):
        return None
    return name in found.kept


def _summary(values: F64) -> dict[str, float]:
    if len(values) == 0:
        return {}
    found = {"min": values.min(), "median": np.median(values), "mean": values.mean(), "max": values.max()}
    return {name: float(value) for name, value in found.items()}


def _shares(counts: npt.NDArray[np.number]) -> tuple[float, ...]:
    shares: list[float] = (counts / max(int(counts.sum()), 1)).tolist()
    return tuple(shares)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1_000 else f"{value:,.0f}"
