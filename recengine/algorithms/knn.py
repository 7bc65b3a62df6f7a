"""Item-KNN: cosine neighbours over sparse rows, found in `fit`, added up when a request comes.

Offline spine: `fit` takes the interactions. Online spine: `recommend` and `score` take a batch of histories. Both
work on positive evidence alone: an entry with weight <= 0 is no vote, neither for nor against. A score is 0.0 where
nothing overlaps and NaN where the model cannot say: a user without a usable history, an item without a positive entry
in training. `recommend` returns only items with a score > 0.

Why a sum and not a weighted mean: for ranking from implicit feedback the count of agreeing neighbours is the signal
(Deshpande and Karypis 2004, section 4.2; Cremonesi et al. 2010, section 3.2: non-normalised cosine neighbourhood).
"""

from typing import ClassVar, Self

import numpy as np

from recengine.algorithms.base import Progress
from recengine.algorithms.item_weights import ItemWeights, RowsModel
from recengine.algorithms.similarity import nearest, nearest_of, positive_rows, space_of, transposed
from recengine.config import ItemKnn as ItemKnnConfig
from recengine.kernels.knn import Csr, Weighting
from recengine.types import F32, I32, Mask, TrainingData

__all__ = ("ItemKnn",)


class ItemKnn(RowsModel[ItemKnnConfig]):
    """Score an item by how like it is to the items of the history (Sarwar et al. 2001; Deshpande and Karypis 2004).

    score(u, i) = sum over the history items h, with weight w_h > 0 and i among the k neighbours of h, of
    strength(w_h) * sim(h, i), where sim(h, i) = <h, i> / (|h| |i| + s) over the users' weighted entries, and
    `strength` is the entry's term weight (`similarity.strength`). s is `shrinkage` times the mean square of a weighted
    entry, so that it counts entries whatever the weights are. History items newer than the model are passed over.
    """

    kind: ClassVar[str] = "item_knn"

    def fit(self, data: TrainingData, *, seed: int = 0, threads: int = 0, progress: Progress | None = None) -> Self:
        """Find every item's neighbours. Nothing is random: `seed` changes nothing.

        Cost: one multiply-add for every pair of items in every history; measured in bench/knn.py.

        Raises
        ------
        EmptyData : no entry has weight > 0.
        """
        del seed
        postings, norms, unit, shrinkage, known = self._space(data)
        k = self.config.neighbors
        found = nearest(unit, postings, norms, k, shrinkage, threads=threads, progress=progress)
        self._learned = ItemWeights.of(found, known)
        return self

    def update(self, data: TrainingData, users: I32, items: I32, *, threads: int = 0) -> Self:  # noqa: ARG002
        """Find the neighbours of the changed items again, among all items; see `Incremental.update`.

        The others keep theirs: a new item enters the lists of the changed ones, which those who met it also met.

        Cost: as `fit`, for the pairs that hold a changed item; that is less than its share of them, which are popular.
        """
        held, model = self._fitted(), type(self)(self.config)
        postings, norms, unit, shrinkage, known = self._space(data)
        found = nearest_of(items, unit, postings, norms, self.config.neighbors, shrinkage, threads=threads)
        model._learned = held.replaced(items, found, known)  # noqa: SLF001 - one of ours
        return model

    def _space(self, data: TrainingData) -> tuple[Csr, F32, Csr, float, Mask]:
        """Weigh the items: who has them, norms, unit rows, what is added to denominators, and which have anybody."""
        users = positive_rows(data.interactions, self.config.history_limit, self.kind)
        items = transposed(users, data.interactions.n_items)
        space, unit = space_of(items, users.n, self.config.weighting)
        known = (np.diff(items.indptr) > 0).astype(np.uint8)
        return space.postings, space.norms, unit, self.config.shrinkage * space.square, known

    def _weighting(self) -> Weighting:
        return self.config.weighting
