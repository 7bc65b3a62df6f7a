"""Fitting and incrementing of models that keep the strongest weights of every item: item-KNN and the graph filter.

Offline spine. In: interactions, as the sparse vectors between which an algorithm's weights are products. Out:
`ItemWeights`, which answer requests.

Why a new item enters rows of items that nothing happened to: a list sums up the rows of the *history's* items, which
stay when somebody who met them earlier meets a new item. By its own row alone it would be in no list until it is in
histories itself. Why only those that came since the full fit: an item that was there has rows that hold it, and an
increment would else write most rows again.
"""

from abc import abstractmethod
from pathlib import Path
from typing import NamedTuple, Protocol, Self, TypeVar

import numpy as np

from recengine.algorithms.base import Progress
from recengine.algorithms.item_weights import ItemWeights, Limited, WeightsModel
from recengine.algorithms.similarity import nearest, nearest_of
from recengine.kernels.knn import Csr
from recengine.types import F32, F64, I32, Mask, TopN, TrainingData

__all__ = ("Pairs", "RowsModel")

OF_FIT, SINCE = 1, 2
"""What `ItemWeights.known` says of an item with a positive entry: in the full fit, or only in an increment on it."""


class Pairs(NamedTuple):
    """What the weights between items are products of."""

    rows: Csr
    """Item -> who has it, as it asks."""
    postings: Csr
    """Who has it -> items, as they answer."""
    norms: F32
    """(n_items,) see `kernels.knn.neighbors`."""
    shrinkage: float
    known: Mask
    """(n_items,) 1 = has a positive entry."""
    lean: F64
    """(n_items,) > 0: the weight of item i in the row of h is that of h in the row of i, times lean_i / lean_h."""


class _Kept(Limited, Protocol):
    @property
    def neighbors(self) -> int: ...


C = TypeVar("C", bound=_Kept)


class RowsModel(WeightsModel[C, ItemWeights]):
    """One that keeps the strongest weights of every item alone, and nothing else; an algorithm says which, in `_pairs`.

    Parameters
    ----------
    config : its `[[model]]`.
    """

    def fit(self, data: TrainingData, *, seed: int = 0, threads: int = 0, progress: Progress | None = None) -> Self:
        """Find the strongest weights of every item. Nothing is random: `seed` changes nothing.

        Cost: one multiply-add for every pair of items in every history; measured in bench/knn.py and bench/growth.py.

        Raises
        ------
        EmptyData : no entry has weight > 0.
        """
        del seed
        pairs, k = self._pairs(data), self.config.neighbors
        found = nearest(pairs.rows, pairs.postings, pairs.norms, k, pairs.shrinkage, threads=threads, progress=progress)
        self._learned = ItemWeights.of(found, pairs.known)
        return self

    def update(self, data: TrainingData, users: I32, items: I32, *, threads: int = 0) -> Self:  # noqa: ARG002
        """Find the rows of the changed items again, among all items; see `Incremental.update`.

        Those of them that came since the full fit also enter the rows of the items in their own, where they are among
        the strongest there. Else the others keep their rows until the next full fit.

        Cost: as `fit`, for the pairs that hold a changed item; that is less than its share of them, which are popular.
        """
        held, model = self._fitted(), type(self)(self.config)
        pairs, k = self._pairs(data), self.config.neighbors
        own = nearest_of(items, pairs.rows, pairs.postings, pairs.norms, k, pairs.shrinkage, threads=threads)
        known = np.where(pairs.known > 0, SINCE, 0).astype(np.uint8)
        before = known[: len(held.known)]
        before[(before > 0) & (held.known == OF_FIT)] = OF_FIT
        fresh = np.flatnonzero(known[items] == SINCE)
        which, theirs = _entered(held, items, items[fresh], TopN(own.items[fresh], own.scores[fresh]), pairs.lean)
        found = TopN(np.concatenate((own.items, theirs.items)), np.concatenate((own.scores, theirs.scores)))
        model._learned = held.replaced(np.concatenate((items, which)), found, known)  # noqa: SLF001 - one of ours
        return model

    @classmethod
    def load(cls, config: C, folder: Path) -> Self:
        """Read what `save` wrote, memory-mapped.

        Raises
        ------
        BadArtifact : a file is missing or damaged.
        """
        model = cls(config)
        model._learned = ItemWeights.load(folder)
        return model

    @abstractmethod
    def _pairs(self, data: TrainingData) -> Pairs:
        """Weigh the items of `data`; EmptyData as in `fit`."""


def _entered(held: ItemWeights, anew: I32, fresh: I32, theirs: TopN, lean: F64) -> tuple[I32, TopN]:
    """Enter the items `fresh`, whose own rows are `theirs`, in the rows of the items there that are not `anew`.

    Returns the rows that change, and what they are then: as many weights as in `theirs`, ties to the lower item.
    """
    k, real = theirs.items.shape[1], theirs.items >= 0
    real[real] = ~np.isin(theirs.items[real], anew)
    into, item = theirs.items[real], np.repeat(fresh, real.sum(axis=1))
    value = (theirs.scores[real] * (lean[item] / lean[into])).astype(np.float32)
    weakest = np.zeros(len(lean), np.float32)  # what a weight must exceed to enter a row
    for row in np.unique(into).tolist():
        values = held.near.row(row)[1]
        weakest[row] = values[k - 1] if len(values) >= k else 0.0
    strong = np.flatnonzero(value > weakest[into])
    strong = strong[np.argsort(into[strong], kind="stable")]
    which, begins = np.unique(into[strong], return_index=True)
    out = TopN(np.full((len(which), k), -1, np.int32), np.full((len(which), k), np.nan, np.float32))
    entering = np.zeros(len(lean), np.bool_)
    for place, mine in enumerate(np.split(strong, begins[1:])[: len(which)]):
        cols, values = held.near.row(int(which[place]))
        entering[item[mine]] = True
        stays = ~entering[cols]
        entering[item[mine]] = False
        cols, values = np.concatenate((cols[stays], item[mine])), np.concatenate((values[stays], value[mine]))
        best = np.lexsort((cols, -values))[:k]
        out.items[place, : len(best)], out.scores[place, : len(best)] = cols[best], values[best]
    return which, out
