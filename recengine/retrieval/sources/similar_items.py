"""Source `similar_items`: what is most like the last items that the user liked.

An item counts the sum of its similarities to those. Other than the model `item_knn`, which weighs the whole history,
this follows what the user did last.
"""

import numpy as np

from recengine.algorithms.knn import ItemKnn
from recengine.config import SimilarToLast
from recengine.kernels.knn import Csr, sum_top
from recengine.retrieval.sources.asked import Asked, Find
from recengine.types import I32, Interactions

__all__ = ("last_liked", "similar_to_last")


def similar_to_last(model: ItemKnn, config: SimilarToLast, n_items: int) -> Find:
    """Prepare the source: 8 bytes for each of the `per_item` nearest of every item."""
    near = model.similar_items(np.arange(n_items, dtype=np.int32), config.per_item)
    found = near.items >= 0
    ends = np.concatenate(([0], np.cumsum(found.sum(axis=1)))).astype(np.int64)
    nearest = Csr(ends, near.items[found], near.scores[found])

    def find(asked: Asked) -> I32:
        liked = last_liked(asked.query.history, config.last)
        return sum_top(liked, nearest, n_items, asked.mask, config.n, threads=asked.threads).items

    return find


def last_liked(history: Interactions, last: int) -> Csr:
    """Take the `last` latest entries with a positive weight of every row; each counts 1."""
    liked = np.flatnonzero(history.weights > 0)
    ends = np.searchsorted(liked, history.indptr)
    lengths = ends[1:] - ends[:-1]
    if len(lengths) and lengths.max() > last:
        liked = liked[np.arange(len(liked)) >= np.repeat(ends[1:] - last, lengths)]
        ends = np.concatenate(([0], np.cumsum(np.minimum(lengths, last))))
    return Csr(ends.astype(np.int64), history.items[liked], np.ones(len(liked), np.float32))
