"""Source `similar_users`: the latest items of the users who are most like the asker.

An item counts the sum of the similarities of those who have it among their latest. Other than the model `user_knn`,
which knows all their items, this follows what they did last.
"""

import numpy as np

from recengine.algorithms.user_knn import UserKnn
from recengine.config import OfSimilarUsers
from recengine.kernels.knn import Csr, sum_top
from recengine.retrieval.sources.asked import Asked, Find
from recengine.types import I32

__all__ = ("of_similar_users",)


def of_similar_users(model: UserKnn, config: OfSimilarUsers, n_items: int) -> Find:
    """Prepare the source: 12 bytes for each of the `per_user` latest items of every user of training."""
    latest = model.latest_items(config.per_user)

    def find(asked: Asked) -> I32:
        near = model.similar_users(asked.query, config.users)
        alike = np.where(near.scores > config.similarity, near.scores, np.float32(0))  # NaN, nobody, is not above
        ends = np.arange(len(alike) + 1, dtype=np.int64) * config.users
        rows = Csr(ends, near.items.ravel(), alike.ravel())
        return sum_top(rows, latest, n_items, asked.mask, config.n, threads=asked.threads).items

    return find
