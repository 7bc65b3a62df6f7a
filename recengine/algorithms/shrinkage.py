"""How much more a group of users engages with an item than everybody does, shrunken as far as the data demand.

Stands under `demographic.py`, offline. In: users x groups and users x items, both 0/1. Out: `Level`s, one for each
attribute and one for each pair of attributes, that give the lift of every item in a group.

The lift of an item is observed over expected engagements of the group, shrunken to 1 as a Gamma-Poisson posterior
mean: (k + s) / (E + s). E of a value is the item's engagements x the value's share of all, so that a busy group is not
mistaken for one of special taste: the lift shrinks towards the global rate. E of a cell (a pair of values) is that
times both values' lifts, scaled to the cell's engagements: its lift is what the pair says beyond its values, and
shrinks towards those.

The strength s is the reciprocal variance of the true lifts, estimated by moments (Clayton and Kaldor 1987) from all
items and all groups of the attribute, or pair, together. Why together: the estimate of a group with few users is noise.
On MovieLens 100k (users held out whole, ten folds) one strength an attribute gave NDCG@20 +.0185 over popularity, one a
group +.0174; and of the pairs of its attributes none differed by more than chance, so that their strength is infinite.
"""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from recengine.types import F64

__all__ = ("MOST_STRENGTH", "Level", "cross", "of_cells", "of_values")

LEAST_STRENGTH = 0.1
MOST_STRENGTH = 1000.0
"""An item with so many expected engagements in a group would move half way; beyond, a lift says nothing."""


class Level:
    """The lifts of the groups of one attribute, or of one pair of attributes.

    Parameters
    ----------
    groups : (n_users, G) 0/1.
    matrix : (n_users, n_items) 0/1.
    base : what is expected of the items in group `row`, float64 (n_items,), up to a factor.
    """

    def __init__(self, groups: sparse.csr_matrix, matrix: sparse.csr_matrix, base: Callable[[int], F64]) -> None:
        self._counts = (groups.T @ matrix).tocsr()
        self._base = base
        self.size: int = groups.shape[1]
        self.strength = self._learned(float(matrix.sum()))
        """In expected engagements."""

    def lift(self, row: int) -> F64:
        """Return the lift of every item in group `row`, float64 (n_items,), > 0."""
        mine, expected = self._seen(row)
        return (mine + self.strength) / (expected + self.strength)

    def _seen(self, row: int) -> tuple[F64, F64]:
        mine = np.asarray(self._counts[[row]].toarray(), dtype=np.float64).ravel()
        base = self._base(row)
        return mine, base * (float(mine.sum()) / max(float(base.sum()), 1e-300))

    def _learned(self, total: float) -> float:
        excess = squares = 0.0
        for row in range(self.size):
            mine, expected = self._seen(row)
            # k of a group without special taste is binomial, E[(k - E)^2] = E (1 - share); the rest is E^2 variance
            share = float(mine.sum()) / max(total, 1.0)
            excess += float(((mine - expected) ** 2).sum() - (1 - share) * expected.sum())
            squares += float((expected**2).sum())
        variance = excess / squares if squares > 0 else 0.0
        return min(max(1.0 / variance if variance > 0 else MOST_STRENGTH, LEAST_STRENGTH), MOST_STRENGTH)


def of_values(groups: sparse.csr_matrix, matrix: sparse.csr_matrix, totals: F64) -> Level:
    """Shrink the values of one attribute towards the global rate; `totals` are all engagements of every item."""
    return Level(groups, matrix, lambda _row: totals)


def of_cells(cells: sparse.csr_matrix, matrix: sparse.csr_matrix, first: Level, second: Level) -> Level:
    """Shrink the cells of two attributes, as `cross` numbers them, towards what their values say."""
    totals = np.asarray(matrix.sum(axis=0), dtype=np.float64).ravel()
    return Level(cells, matrix, lambda row: totals * first.lift(row // second.size) * second.lift(row % second.size))


def cross(first: sparse.csr_matrix, second: sparse.csr_matrix) -> sparse.csr_matrix:
    """Put users into cells, some into several: value a of `first` and b of `second` is cell a * second.shape[1] + b."""
    one = first.tocoo()
    lengths = np.diff(second.indptr)[one.row]
    starts = np.repeat(second.indptr[one.row] - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
    other = second.indices[(starts + np.arange(lengths.sum())).astype(np.int64)]
    columns = np.repeat(one.col, lengths).astype(np.int64) * second.shape[1] + other
    shape = (first.shape[0], first.shape[1] * second.shape[1])
    return sparse.csr_matrix((np.ones(len(columns)), (np.repeat(one.row, lengths), columns)), shape=shape)
