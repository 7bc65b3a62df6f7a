"""Sparse item-item weights, and how a history is answered from them: what item-KNN, the graph filter and EASE share.

Offline spine: an algorithm's `fit` makes the rows. Online spine: in come the entries of B histories, out go picks and
scores; a score is the sum of the rows of the history's items. An entry with weight <= 0 is no vote, neither for nor
against. A score is 0.0 where nothing speaks for an item (a sum below 0 is cut to it), and NaN where the model cannot
say: a user without a usable history, an item without a positive entry in training. Only scores > 0 are recommended.

Why sums below 0 are cut: only weights of EASE can be negative, and "speaks against it" is not a place in a list;
both ways to ask must agree on what is left out.
"""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np

from recengine.algorithms.similarity import any_known, check_csr, check_shapes, latest, silence, strength, taken
from recengine.arrays import read_arrays, write_arrays
from recengine.errors import NotFitted
from recengine.kernels.knn import Csr, Renewed, Weighting, sum_at, sum_top
from recengine.kernels.ridge import sums, sums_at
from recengine.kernels.topk import topk
from recengine.types import F32, I32, I64, Bools, Evidence, Mask, Query, TopN

__all__ = ("DenseWeights", "ItemWeights", "Limited", "WeightsModel", "entries_of")

BATCH = 256
"""Rows of dense scores held at a time."""
MOST_OVER = 0.5
"""Entries found anew, as a share of those below them, beyond which both become one again: what is written of an
increment, and is in memory for nothing, is bounded by it."""
_BASE = ("indptr", "neighbors", "similarities")
_OVER = ("renewed", "renewed_indptr", "renewed_neighbors", "renewed_similarities")


class ItemWeights(NamedTuple):
    """What every item says of the others."""

    near: Csr | Renewed
    """Item -> the items it speaks for, best first, with their weights."""
    known: Mask
    """(n_items,) > 0 where the item had a positive entry in training; of which kind, says who made them."""

    @classmethod
    def of(cls, found: Iterable[TopN], known: Mask) -> Self:
        """Make them of padded rows, a few at a time, for all items in order."""
        lengths, cols, values = [], [], []
        for best in found:
            real = best.items >= 0
            lengths.append(real.sum(axis=1))
            cols.append(best.items[real])
            values.append(best.scores[real])
        return cls(Csr(_ends(np.concatenate(lengths)), np.concatenate(cols), np.concatenate(values)), known)

    def replaced(self, which: I32, found: TopN, known: Mask) -> Self:
        """Give the items `which` (int32, unique) the rows `found`; the others keep theirs. `known` is of all.

        Rows that stay are not copied: the new ones lie over them, until they are more than `MOST_OVER` of them.
        """
        near, n, real = self.near, len(known), found.items >= 0
        rows, over = which, Csr(_ends(real.sum(axis=1)), found.items[real], found.scores[real])
        if isinstance(near, Renewed):
            kept = np.flatnonzero(~np.isin(near.rows, which))
            stays = taken(near.over, kept)
            rows = np.concatenate((near.rows[kept], which))
            ends = np.concatenate((stays.indptr, stays.indptr[-1] + over.indptr[1:]))
            cols, values = np.concatenate((stays.cols, over.cols)), np.concatenate((stays.values, over.values))
            near, over = near.base, Csr(ends, cols, values)
        renewed = Renewed.of(near, rows, over, n)
        found_anew = type(self)(renewed, known)
        crowded = len(over.cols) > MOST_OVER * len(near.cols)
        return found_anew._replace(near=found_anew.flat()) if crowded else found_anew

    def flat(self) -> Csr:
        """Return the rows in one layer, copied where they are in two."""
        near = self.near
        if isinstance(near, Csr):
            return near
        lengths = np.zeros(near.n, np.int64)
        lengths[: near.base.n] = np.diff(near.base.indptr)
        lengths[near.rows] = np.diff(near.over.indptr)
        ends = _ends(lengths)
        cols, values = np.empty(ends[-1], np.int32), np.empty(ends[-1], np.float32)
        for row, (begin, end) in enumerate(pairwise(ends.tolist())):
            cols[begin:end], values[begin:end] = near.row(row)
        return Csr(ends, cols, values)

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
            cols, values = near.row(owned)
            hit = np.flatnonzero(cols == item)
            if len(hit):
                shares.append(Evidence("because_of", owned, float(weight * values[hit[0]])))
        return tuple(sorted(shares, key=lambda share: -share.weight)[:top])

    def similar_items(self, items: I32, n: int) -> TopN:
        """Pick the n items that each of `items` speaks for most, where the weight is > 0; none of an unseen item."""
        near, known = self
        out = TopN(np.full((len(items), n), -1, np.int32), np.full((len(items), n), np.nan, np.float32))
        for b, item in enumerate(items.tolist()):
            if 0 <= item < len(known):
                cols, values = near.row(item)
                count = int(np.count_nonzero(values[:n] > 0))  # best first: the positive ones lead
                out.items[b, :count], out.scores[b, :count] = cols[:count], values[:count]
        return out

    def save(self, folder: Path) -> None:
        """Write the rows into `folder`; those that were read from elsewhere and stay are linked, see `arrays.py`."""
        near = self.near
        base = near.base if isinstance(near, Renewed) else near
        write_arrays(folder, indptr=base.indptr, neighbors=base.cols, similarities=base.values, known=self.known)
        if isinstance(near, Renewed):
            write_arrays(
                folder,
                renewed=near.rows,
                renewed_indptr=near.over.indptr,
                renewed_neighbors=near.over.cols,
                renewed_similarities=near.over.values,
            )

    @classmethod
    def load(cls, folder: Path, *, signed: bool = False) -> Self:
        """Read what `save` wrote, memory-mapped; `signed`: weights may be negative.

        Raises
        ------
        BadArtifact : a file is missing or damaged.
        """
        (known,) = read_arrays(folder, "known")
        n = len(known) if known.ndim == 1 else -1
        check_shapes(folder, known=known.dtype == np.uint8 and known.ndim == 1)
        indptr, cols, values = read_arrays(folder, *_BASE)
        base = check_csr(f"{folder.name}/neighbors", Csr(indptr, cols, values), n, signed=signed)
        if not (folder / f"{_OVER[0]}.npy").exists():
            check_shapes(folder, indptr=base.n == n)
            return cls(base, known)
        rows, *arrays = read_arrays(folder, *_OVER)
        over = check_csr(f"{folder.name}/renewed_neighbors", Csr(*arrays), n, signed=signed)
        shaped = rows.dtype == np.int32 and rows.shape == (over.n,)
        inside = shaped and bool((np.bincount(np.clip(rows, -1, n) + 1, minlength=n + 2)[[0, -1]] == 0).all())
        once = inside and len(np.unique(rows)) == len(rows)
        check_shapes(folder, renewed=once, indptr=base.n <= n)
        return cls(Renewed.of(base, np.asarray(rows), over, n), known)


def _ends(lengths: I64) -> I64:
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)


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


class Limited(Protocol):
    """What is asked of the configuration of every model here."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def history_limit(self) -> int:
        """Latest entries of a history that count."""
        ...


C = TypeVar("C", bound=Limited)
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
