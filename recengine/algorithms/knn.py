"""Item-KNN: cosine neighbours over sparse rows, found in `fit`, added up when a request comes.

Offline spine: `fit` takes the interactions. Online spine: `recommend` and `score` take a batch of histories. Both
work on positive evidence alone: an entry with weight <= 0 is no vote, neither for nor against. A score is 0.0 where
nothing overlaps and NaN where the model cannot say: a user without a usable history, an item without a positive entry
in training. `recommend` returns only items with a score > 0.

Why a sum and not a weighted mean: for ranking from implicit feedback the count of agreeing neighbours is the signal
(Deshpande and Karypis 2004, section 4.2; Cremonesi et al. 2010, section 3.2: non-normalised cosine neighbourhood).
"""

from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np

from recengine.algorithms.base import Progress
from recengine.algorithms.similarity import (
    any_known,
    check_csr,
    check_shapes,
    latest,
    nearest,
    positive_rows,
    silence,
    space_of,
    strength,
    transposed,
)
from recengine.artifacts.arrays import read_arrays, write_arrays
from recengine.config import ItemKnn as ItemKnnConfig
from recengine.errors import NotFitted
from recengine.kernels.knn import Csr, sum_at, sum_top
from recengine.types import F32, I32, I64, Bools, Evidence, Mask, Query, TopN, TrainingData

__all__ = ("ItemKnn",)


class _Items(NamedTuple):
    near: Csr
    """Item -> its neighbours, best first, with their similarities."""
    known: Mask
    """(n_items,) 1 = had a positive entry in training."""


class ItemKnn:
    """Score an item by how like it is to the items of the history (Sarwar et al. 2001; Deshpande and Karypis 2004).

    score(u, i) = sum over the history items h, with weight w_h > 0 and i among the k neighbours of h, of
    strength(w_h) * sim(h, i), where sim(h, i) = <h, i> / (|h| |i| + s) over the users' weighted entries, and
    `strength` is the entry's term weight (`similarity.strength`). s is `shrinkage` times the mean square of a weighted
    entry, so that it counts entries whatever the weights are. History items newer than the model are passed over.
    """

    kind: ClassVar[str] = "item_knn"

    def __init__(self, config: ItemKnnConfig) -> None:
        self.config = config
        self._learned: _Items | None = None

    def fit(self, data: TrainingData, *, seed: int = 0, threads: int = 0, progress: Progress | None = None) -> Self:
        """Find every item's neighbours. Nothing is random: `seed` changes nothing.

        Cost: one multiply-add for every pair of items in every history; measured in bench/knn.py.

        Raises
        ------
        EmptyData : no entry has weight > 0.
        """
        del seed
        n_items = data.interactions.n_items
        users = positive_rows(data.interactions, self.config.history_limit)
        items = transposed(users, n_items)
        space, unit = space_of(items, users.n, self.config.weighting)
        best = nearest(unit, space, self.config.neighbors, self.config.shrinkage, threads=threads, progress=progress)
        found = best.items >= 0
        indptr = np.concatenate(([0], np.cumsum(found.sum(axis=1)))).astype(np.int64)
        known = (np.diff(items.indptr) > 0).astype(np.uint8)
        self._learned = _Items(Csr(indptr, best.items[found], best.scores[found]), known)
        return self

    def recommend(self, query: Query, n: int, mask: Mask, *, threads: int = 1) -> TopN:
        """Pick the n best items with a score > 0; see `Scorer.recommend`.

        Cost: neighbours x history length, whatever the catalogue's size.
        """
        near, known = self._fitted()
        return sum_top(self._entries(query)[0], near, len(known), mask, n, threads=threads)

    def score(self, query: Query, indptr: I64, items: I32, *, threads: int = 1) -> F32:
        """Score given items; see `Scorer.score`."""
        near, known = self._fitted()
        entries, usable = self._entries(query)
        return silence(sum_at(entries, near, known, indptr, items, threads=threads), indptr, usable)

    def explain(self, query: Query, row: int, item: int, top: int = 3) -> tuple[Evidence, ...]:
        """Name the history items that the score comes from, with their exact shares, strongest first."""
        near, known = self._fitted()
        entries, _ = self._entries(query)
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
        """Pick the n most similar items of each; at most `neighbors` are known, none of an unseen item."""
        near, known = self._fitted()
        out = TopN(np.full((len(items), n), -1, np.int32), np.full((len(items), n), np.nan, np.float32))
        for b, item in enumerate(items.tolist()):
            if 0 <= item < len(known):
                start = int(near.indptr[item])
                here = slice(start, min(int(near.indptr[item + 1]), start + n))
                out.items[b, : here.stop - start] = near.cols[here]
                out.scores[b, : here.stop - start] = near.values[here]
        return out

    def save(self, folder: Path) -> None:
        """Write the neighbours into `folder`."""
        near, known = self._fitted()
        write_arrays(folder, indptr=near.indptr, neighbors=near.cols, similarities=near.values, known=known)

    @classmethod
    def load(cls, config: ItemKnnConfig, folder: Path) -> Self:
        """Read what `save` wrote, memory-mapped.

        Raises
        ------
        BadArtifact : a file is missing or damaged.
        """
        indptr, cols, values, known = read_arrays(folder, "indptr", "neighbors", "similarities", "known")
        near = check_csr(f"{folder.name}/neighbors", Csr(indptr, cols, values), len(indptr) - 1)
        check_shapes(folder, known=known.dtype == np.uint8 and known.shape == (near.n,))
        model = cls(config)
        model._learned = _Items(near, known)
        return model

    def _fitted(self) -> _Items:
        if self._learned is None:
            raise NotFitted(f"{self.config.name}: asked before it was fitted or loaded", hint="call fit or load first")
        return self._learned

    def _entries(self, query: Query) -> tuple[Csr, Bools]:
        """Return how much each history entry speaks, and which rows have one that this model knows (B,)."""
        held: tuple[Csr, Bools] | None = query.prepared.get(id(self))
        if held is None:
            history = latest(query.history, self.config.history_limit)
            entries = Csr(history.indptr, history.cols, strength(history.values, self.config.weighting))
            held = query.prepared[id(self)] = entries, any_known(entries, self._fitted().known)
        return held
