"""Sparse item-item weights, and how a history is answered from them: what item-KNN, the graph filter and EASE share.

Offline spine: an algorithm's `fit` makes the rows. Online spine: in come the entries of B histories, out go picks and
scores; a score is the sum of the rows of the history's items. An entry with weight <= 0 is no vote, neither for nor
against. A score is 0.0 where nothing speaks for an item (a sum below 0 is cut to it), and NaN where the model cannot
say: a user without a usable history, an item without a positive entry in training. Only scores > 0 are recommended.

Why sums below 0 are cut: only weights of EASE can be negative, and "speaks against it" is not a place in a list;
both ways to ask must agree on what is left out.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from recengine.algorithms.similarity import check_csr, check_shapes, silence
from recengine.artifacts.arrays import read_arrays, write_arrays
from recengine.kernels.knn import Csr, sum_at, sum_top
from recengine.types import F32, I32, I64, Bools, Evidence, Mask, TopN

__all__ = ("ItemWeights",)


class ItemWeights(NamedTuple):
    """What every item says of the others."""

    near: Csr
    """Item -> the items it speaks for, best first, with their weights."""
    known: Mask
    """(n_items,) 1 = had a positive entry in training."""

    @classmethod
    def of(cls, found: Iterable[TopN], known: Mask) -> Self:
        """Make them of padded rows, a few at a time, for all items in order."""
        lengths, cols, values = [], [], []
        for best in found:
            real = best.items >= 0
            lengths.append(real.sum(axis=1))
            cols.append(best.items[real])
            values.append(best.scores[real])
        indptr = np.concatenate(([0], np.cumsum(np.concatenate(lengths)))).astype(np.int64)
        return cls(Csr(indptr, np.concatenate(cols), np.concatenate(values)), known)

    def recommend(self, entries: Csr, n: int, mask: Mask, *, threads: int) -> TopN:
        """Pick the n best items with a score > 0 for every row of `entries`; (B, n).

        Cost: weights kept of an item x entries of the row, whatever the catalogue's size.
        """
        return sum_top(entries, self.near, len(self.known), mask, n, threads=threads)

    def score(self, entries: Csr, usable: Bools, indptr: I64, items: I32, *, threads: int) -> F32:
        """Score given items; rows that are not `usable` (B,) get NaN; see `Scorer.score`."""
        sums = sum_at(entries, self.near, self.known, indptr, items, threads=threads)
        np.maximum(sums, np.float32(0), out=sums)  # NaN stays
        return silence(sums, indptr, usable)

    def explain(self, entries: Csr, row: int, item: int, top: int) -> tuple[Evidence, ...]:
        """Name the history items that a score comes from, with their exact shares, strongest first."""
        near, known = self
        shares: list[Evidence] = []
        for place in range(int(entries.indptr[row]), int(entries.indptr[row + 1])):
            owned, weight = int(entries.cols[place]), entries.values[place]
            if not (0 <= owned < len(known) and weight > 0):
                continue
            here = slice(int(near.indptr[owned]), int(near.indptr[owned + 1]))
            hit = np.flatnonzero(near.cols[here] == item)
            if len(hit):
                shares.append(Evidence("because_of", owned, float(weight * near.values[here][hit[0]])))
        return tuple(sorted(shares, key=lambda share: -share.weight)[:top])

    def similar_items(self, items: I32, n: int) -> TopN:
        """Pick the n items that each of `items` speaks for most, where the weight is > 0; none of an unseen item."""
        near, known = self
        out = TopN(np.full((len(items), n), -1, np.int32), np.full((len(items), n), np.nan, np.float32))
        for b, item in enumerate(items.tolist()):
            if 0 <= item < len(known):
                start = int(near.indptr[item])
                stop = min(int(near.indptr[item + 1]), start + n)
                count = int(np.count_nonzero(near.values[start:stop] > 0))  # best first: the positive ones lead
                out.items[b, :count] = near.cols[start : start + count]
                out.scores[b, :count] = near.values[start : start + count]
        return out

    def save(self, folder: Path) -> None:
        """Write the rows into `folder`."""
        near, known = self
        write_arrays(folder, indptr=near.indptr, neighbors=near.cols, similarities=near.values, known=known)

    @classmethod
    def load(cls, folder: Path, *, signed: bool = False) -> Self:
        """Read what `save` wrote, memory-mapped; `signed`: weights may be negative.

        Raises
        ------
        BadArtifact : a file is missing or damaged.
        """
        indptr, cols, values, known = read_arrays(folder, "indptr", "neighbors", "similarities", "known")
        rows = Csr(indptr, cols, values)
        near = check_csr(f"{folder.name}/neighbors", rows, len(indptr) - 1, signed=signed)
        check_shapes(folder, known=known.dtype == np.uint8 and known.shape == (near.n,))
        return cls(near, known)
