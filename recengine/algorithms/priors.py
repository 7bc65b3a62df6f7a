"""What an item that nobody touched may hope for: the prior of its category.

Stands under `popularity.py`. In: the counts of all items and the column of their categories. Out: counts for those that
have none, so that new items have an order among themselves and a score to be shown by.

An item's rate is Gamma distributed about the mean m of its category, and its count Poisson: an item without a count has
the posterior mean a m / (a + m), where the shape a is learned by moments from the spread of items within categories
(Clayton and Kaldor 1987); m itself is shrunken to the mean of all by `KAPPA` items. All priors are scaled down together
where one would reach half of the least count there is: what was touched stays ahead of what was not.

Whose row came after training has no prior until the next training or increment, which counts all anew: the model keeps
scores by row, and asks no catalogue when it answers. Till then `latest` shows such items.
"""

import numpy as np

from recengine.types import F64, I64, Column

__all__ = ("untouched",)

KAPPA = 10.0
"""A category with so many items is half its own mean and half that of all."""


def untouched(counts: F64, column: Column | None) -> F64:
    """Return float64 (n_items,): the prior of items whose count is 0; 0 for the others, and where nothing is known.

    Parameters
    ----------
    counts : float64 (n_items,), >= 0.
    column : string or strings over at most as many items; an item of several categories has the mean of their priors,
        one of none the mean of all items.

    Cost: a few passes over the items and their labels.
    """
    out = np.zeros(len(counts))
    if column is None or column.kind not in ("string", "strings") or not (counts > 0).any() or (counts > 0).all():
        return out
    items, codes = _labels(column)
    size = len(column.labels)
    overall = float(counts.mean())
    members = np.bincount(codes, minlength=size).astype(np.float64)
    means = (np.bincount(codes, counts[items], minlength=size) + KAPPA * overall) / (members + KAPPA)
    shape = _shape(counts[items], means[codes])
    labels = np.bincount(items, minlength=len(counts))
    mean = np.full(len(counts), overall)
    known = labels > 0
    mean[known] = np.bincount(items, means[codes], minlength=len(counts))[known] / labels[known]
    hope = shape * mean / (shape + mean)
    new = counts == 0
    least = float(counts[counts > 0].min()) / 2
    out[new] = hope[new] * min(1.0, least / float(hope[new].max()))
    return out


def _labels(column: Column) -> tuple[I64, I64]:
    """List (item, category code) pairs."""
    if column.indptr is not None:
        return np.repeat(np.arange(len(column.indptr) - 1), np.diff(column.indptr)), column.data.astype(np.int64)
    items = np.flatnonzero(column.data >= 0)
    return items, column.data[items].astype(np.int64)


def _shape(counts: F64, means: F64) -> float:
    """Estimate the Gamma's shape from counts about their categories' means: E[(k - m)^2] = m + m^2 / shape."""
    excess = float(((counts - means) ** 2 - means).sum())
    squares = float((means**2).sum())
    return min(max(squares / excess if excess > 0 else 100.0, 0.01), 100.0)
