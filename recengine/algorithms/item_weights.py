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
from typing import ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np

from recengine.algorithms.similarity import any_known, check_csr, check_shapes, latest, silence, strength
from recengine.arrays import read_arrays, write_arrays
from recengine.errors import NotFitted
from recengine.kernels.knn import Csr, Weighting, sum_at, sum_top
from recengine.kernels.ridge import sums, sums_at
from recengine.kernels.topk import topk
from recengine.types import F32, I32, I64, Bools, Evidence, Mask, Query, TopN

__all__ = ("DenseWeights", "ItemWeights", "WeightsModel", "entries_of")

BATCH = 256
"""Rows of dense scores held at a time."""


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

    def replaced(self, which: I32, found: TopN, known: Mask) -> Self:
        """Give the items `which` (int32, ascending) the rows `found`; the others keep theirs. `known` is of all."""
        near, n = self.near, len(known)
        real = found.items >= 0
        lengths = np.zeros(n, np.int64)
        lengths[: near.n] = np.diff(near.indptr)
        lengths[which] = real.sum(axis=1)
        indptr = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        cols, values = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
        begin = 0  # whole runs of rows that stay, not entry by entry: a mask of 20 M entries took 0.3 s
        for row, at in enumerate([*which.tolist(), n]):
            old = slice(int(near.indptr[min(begin, near.n)]), int(near.indptr[min(at, near.n)]))
            new = slice(int(indptr[begin]), int(indptr[at]))
            cols[new], values[new] = near.cols[old], near.values[old]
            if at < n:
                own = slice(int(indptr[at]), int(indptr[at + 1]))
                cols[own], values[own] = found.items[row, real[row]], found.scores[row, real[row]]
            begin = at + 1
        return type(self)(Csr(indptr, cols, values), known)

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


class DenseWeights(NamedTuple):
    """The same, where every item says something of every other."""

    rows: F32
    """(n_items, n_items), 0 on the diagonal."""
    known: Mask
    """(n_items,) 1 = had a positive entry in training."""

    def recommend(self, entries: Csr, n: int, mask: Mask, *, threads: int) -> TopN:
        """Pick the n best items with a score > 0 for every row of `entries`; (B, n).

        Cost: items x entries of the row; a batch is answered a few rows at a time.
        """
        width = len(self.known)
        out = TopN(np.empty((entries.n, n), np.int32), np.empty((entries.n, n), np.float32))
        for start in range(0, entries.n, BATCH):
            stop = min(start + BATCH, entries.n)
            some = entries._replace(indptr=entries.indptr[start : stop + 1])
            scores = sums(some, self.rows, threads=threads)
            scores[~(scores > 0)] = np.nan
            found = topk(scores, n, np.ascontiguousarray(mask[start:stop, :width]), threads=threads)
            out.items[start:stop], out.scores[start:stop] = found.items, found.scores
        return out

    def score(self, entries: Csr, usable: Bools, indptr: I64, items: I32, *, threads: int) -> F32:
        """Score given items; rows that are not `usable` (B,) get NaN; see `Scorer.score`."""
        found = sums_at(entries, self.rows, indptr, items, threads=threads)
        np.maximum(found, np.float32(0), out=found)  # NaN stays
        inside = np.minimum(np.maximum(items, 0), max(len(self.known) - 1, 0))
        found[self.known[inside] == 0] = np.nan
        return silence(found, indptr, usable)

    def explain(self, entries: Csr, row: int, item: int, top: int) -> tuple[Evidence, ...]:
        """Name the history items that a score comes from, with their exact shares, strongest first."""
        if not (0 <= item < len(self.known) and self.known[item]):
            return ()
        here = slice(int(entries.indptr[row]), int(entries.indptr[row + 1]))
        pairs = zip(entries.cols[here].tolist(), entries.values[here].tolist(), strict=True)
        shares = [
            Evidence("because_of", owned, weight * float(self.rows[owned, item]))
            for owned, weight in pairs
            if 0 <= owned < len(self.known) and weight > 0 and self.rows[owned, item] != 0
        ]
        return tuple(sorted(shares, key=lambda share: -share.weight)[:top])

    def similar_items(self, items: I32, n: int) -> TopN:
        """Pick the n items that each of `items` speaks for most, where the weight is > 0; none of an unseen item."""
        inside = (items >= 0) & (items < len(self.known))
        rows = self.rows[np.where(inside, items, 0)]
        rows[~inside[:, None] | ~(rows > 0)] = np.nan
        return topk(rows, n)

    def save(self, folder: Path) -> None:
        """Write the rows into `folder`."""
        write_arrays(folder, weights=self.rows, known=self.known)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote, memory-mapped.

        Raises
        ------
        BadArtifact : a file is missing or damaged.
        """
        rows, known = read_arrays(folder, "weights", "known")
        n = len(known) if known.ndim == 1 else -1
        check_shapes(
            folder,
            known=known.dtype == np.uint8 and known.ndim == 1,
            weights=rows.dtype == np.float32 and rows.shape == (n, n) and bool(np.isfinite(rows).all()),
        )
        return cls(rows, known)


def entries_of(query: Query, key: int, limit: int, weighting: Weighting, known: Mask) -> tuple[Csr, Bools]:
    """Return how much each of a history's `limit` latest entries speaks, and which rows have one that counts (B,).

    Kept in `query.prepared` under `key`, the model's `id`: one request asks twice.
    """
    held: tuple[Csr, Bools] | None = query.prepared.get(key)
    if held is None:
        history = latest(query.history, limit)
        entries = Csr(history.indptr, history.cols, strength(history.values, weighting))
        held = query.prepared[key] = entries, any_known(entries, known)
    return held


class _Limited(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def history_limit(self) -> int: ...


C = TypeVar("C", bound=_Limited)
W = TypeVar("W", bound=DenseWeights | ItemWeights)


class WeightsModel(Generic[C, W]):
    """What an algorithm answers from its item-item weights alone: everything but `fit`, `update` and `load`.

    Parameters
    ----------
    config : its `[[model]]`.
    """

    kind: ClassVar[str]

    def __init__(self, config: C) -> None:
        self.config = config
        self._learned: W | None = None

    def recommend(self, query: Query, n: int, mask: Mask, *, threads: int = 1) -> TopN:
        """Pick the n best items with a score > 0; see `Scorer.recommend`."""
        return self._fitted().recommend(self._entries(query)[0], n, mask, threads=threads)

    def score(self, query: Query, indptr: I64, items: I32, *, threads: int = 1) -> F32:
        """Score given items; see `Scorer.score`."""
        return self._fitted().score(*self._entries(query), indptr, items, threads=threads)

    def explain(self, query: Query, row: int, item: int, top: int = 3) -> tuple[Evidence, ...]:
        """Name the history items that the score comes from, with their exact shares, strongest first."""
        return self._fitted().explain(self._entries(query)[0], row, item, top)

    def similar_items(self, items: I32, n: int) -> TopN:
        """Pick the n items that each speaks for most; none of an item without a positive entry in training."""
        return self._fitted().similar_items(items, n)

    def save(self, folder: Path) -> None:
        """Write the weights into `folder`."""
        self._fitted().save(folder)

    def _weighting(self) -> Weighting:
        """Say how a history's entries are weighed; an algorithm that weighs them otherwise says so."""
        return "plain"

    def _fitted(self) -> W:
        if self._learned is None:
            raise NotFitted(f"{self.config.name}: asked before it was fitted or loaded", hint="call fit or load first")
        return self._learned

    def _entries(self, query: Query) -> tuple[Csr, Bools]:
        """Return how much each history entry speaks, and which rows have one that this model knows (B,)."""
        return entries_of(query, id(self), self.config.history_limit, self._weighting(), self._fitted().known)
