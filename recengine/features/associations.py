"""How features go together with each other and with an outcome: pure functions over columns.

Offline: selection and the report ask them. In: values float32 (F, m), NaN = missing, a category as its code. Missing is
a value of its own here, lower than all others: that somebody has no price says something too.
"""

import numpy as np

from recengine.types import F32, F64, I64

__all__ = ("auc", "binned", "likeness", "mutual_information", "outcome_by_bin", "rank_correlations", "ranks")

BINS, RARE = 32, 10


def ranks(values: F32 | F64) -> F64:
    """Rank each row: float64 (F, m), 0 .. m - 1, equals share the mean of their ranks. Cost: a sort a row."""
    out = np.empty(values.shape)
    for row, ranked in zip(values, out, strict=True):
        _, place, counts = np.unique(_ordered(row), return_inverse=True, return_counts=True)
        ranked[:] = (np.cumsum(counts) - (counts + 1) / 2)[place]
    return out


def rank_correlations(values: F32) -> F64:
    """Correlate the ranks of all pairs of rows (Spearman 1904): (F, F), -1..1; 0 where a row never varies."""
    ranked = ranks(values)
    ranked -= ranked.mean(axis=1, keepdims=True) if values.shape[1] else 0
    length = np.sqrt((ranked**2).sum(axis=1))
    ranked /= np.where(length > 0, length, 1)[:, np.newaxis]
    return np.clip(ranked @ ranked.T, -1, 1)


def auc(outcomes: F32, scores: F32 | F64) -> float:
    """Tell how often a row with outcome 1 scores above one with 0, equals half (Mann and Whitney 1947).

    NaN where one of the two outcomes is absent.
    """
    positive = outcomes > 0
    n, m = int(positive.sum()), len(outcomes)
    if n in {0, m}:
        return float("nan")
    ranked = ranks(scores[np.newaxis])[0]
    return float((ranked[positive].sum() - n * (n - 1) / 2) / (n * (m - n)))


def binned(values: F32, edges_from: F32, *, category: bool) -> I64:
    """Put values into bins: 0 = missing; a category's own; of numbers up to 32 of equal shares of `edges_from`."""
    if category:
        return np.where(np.isnan(values), 0, np.where(np.isnan(values), 0, values) + 1).astype(np.int64)
    known = edges_from[np.isfinite(edges_from)]
    if len(known) == 0:
        return np.where(np.isnan(values), 0, 1)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1], method="inverted_cdf"))
    return np.where(np.isnan(values), 0, 1 + np.searchsorted(edges, values, "left"))


def mutual_information(bins: I64, outcomes: F32) -> float:
    """Measure what bins tell of a 0/1 outcome, in nats, >= 0.

    The plug-in estimate less its bias (bins - 1)(2 - 1) / 2m (Miller 1955), bins of fewer than 10 rows taken together,
    so that a category of many values tells nothing by chance.
    """
    m = len(bins)
    if m == 0:
        return 0.0
    both = np.bincount(bins * 2 + (outcomes > 0), minlength=2 * (int(bins.max()) + 1)).reshape(-1, 2)
    rare = both.sum(axis=1) < RARE
    both = np.concatenate((both[~rare], both[rare].sum(axis=0, keepdims=True)))
    rows, classes = both.sum(axis=1), both.sum(axis=0)
    bias = (int((rows > 0).sum()) - 1) * (int((classes > 0).sum()) - 1) / (2 * m)
    return max(_entropy(rows) + _entropy(classes) - _entropy(both.ravel()) - bias, 0.0)


def likeness(one: I64, other: I64) -> float:
    """Tell how far two categories part the rows alike: mutual information / the larger entropy, 0..1."""
    n = int(other.max(initial=0)) + 1
    pairs = np.unique(one * n + other, return_counts=True)[1]
    first, second = _entropy(np.bincount(one)), _entropy(np.bincount(other))
    larger = max(first, second)
    return (first + second - _entropy(pairs)) / larger if larger > 0 else 1.0


def outcome_by_bin(bins: I64, outcomes: F32, asked: I64) -> F64:
    """Score bins `asked` by the mean outcome of rows in the same bin, one row at the overall mean added."""
    n = max(int(bins.max(initial=0)), int(asked.max(initial=0))) + 1
    prior = float(outcomes.mean(dtype=np.float64)) if len(outcomes) else 0.0
    sums = np.bincount(bins, weights=outcomes, minlength=n) + prior
    return (sums / (np.bincount(bins, minlength=n) + 1))[asked]


def _entropy(counts: I64) -> float:
    """Of a distribution by counts, in nats."""
    some = counts[counts > 0].astype(np.float64)
    total = some.sum()
    return float(np.log(total) - (some * np.log(some)).sum() / total) if len(some) else 0.0


def _ordered(row: F32 | F64) -> F32 | F64:
    return np.where(np.isnan(row), np.float32(-np.inf), row)
