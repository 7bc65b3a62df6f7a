"""Item-KNN: cosine neighbours over sparse rows, found by `row_weights.RowsModel`, added up when a request comes.

Offline spine: `fit` takes the interactions. Online spine: `recommend` and `score` take a batch of histories. Both
work on positive evidence alone: an entry with weight <= 0 is no vote, neither for nor against. A score is 0.0 where
nothing overlaps and NaN where the model cannot say: a user without a usable history, an item without a positive entry
in training. `recommend` returns only items with a score > 0.

Why a sum and not a weighted mean: for ranking from implicit feedback the count of agreeing neighbours is the signal
(Deshpande and Karypis 2004, section 4.2; Cremonesi et al. 2010, section 3.2: non-normalised cosine neighbourhood).
"""

from typing import ClassVar

import numpy as np

from recengine.algorithms.row_weights import Pairs, RowsModel
from recengine.algorithms.similarity import positive_rows, space_of, transposed
from recengine.config import ItemKnn as ItemKnnConfig
from recengine.kernels.knn import Weighting
from recengine.types import TrainingData

__all__ = ("ItemKnn",)


class ItemKnn(RowsModel[ItemKnnConfig]):
    """Score an item by how like it is to the items of the history (Sarwar et al. 2001; Deshpande and Karypis 2004).

    score(u, i) = sum over the history items h, with weight w_h > 0 and i among the k neighbours of h, of
    strength(w_h) * sim(h, i), where sim(h, i) = <h, i> / (|h| |i| + s) over the users' weighted entries, and
    `strength` is the entry's term weight (`similarity.strength`). s is `shrinkage` times the mean square of a weighted
    entry, so that it counts entries whatever the weights are. History items newer than the model are passed over.
    """

    kind: ClassVar[str] = "item_knn"

    def _pairs(self, data: TrainingData) -> Pairs:
        users = positive_rows(data.interactions, self.config.history_limit, self.kind)
        items = transposed(users, data.interactions.n_items)
        space, unit = space_of(items, users.n, self.config.weighting)
        known = (np.diff(items.indptr) > 0).astype(np.uint8)
        return Pairs(unit, space.postings, space.norms, self.config.shrinkage * space.square, known, np.ones(items.n))

    def _weighting(self) -> Weighting:
        return self.config.weighting
