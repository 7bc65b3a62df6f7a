"""What everybody likes, as orders: the sources `popular`, `trending`, `latest` and `category` walk them.

Why precomputed: a request walks an order until it has met n allowed items, so it costs microseconds and never sorts.
"""

import numpy as np

from recengine.algorithms.popularity import Popularity
from recengine.algorithms.standing import Standing, descending
from recengine.kernels.walk import walk
from recengine.types import F32, I32, Column, Mask

__all__ = ("Orders",)


class Orders:
    """The deployment's precomputed orders as the walk kernel reads them: CSR rows.

    Popular, trending and latest first, then the categories; `rows` maps a category label to its row.
    """

    POPULAR, TRENDING, LATEST = 0, 1, 2
    NAMES = ("popular", "trending", "latest")

    def __init__(self, popularity: Popularity, n_items: int, live: Standing | None = None) -> None:
        """Lay the orders out, as trained or as items stand now.

        Items that the deployment does not know yet stand where their events put them, and lead the `latest` order.

        Parameters
        ----------
        live : of at least `n_items` items and all trained ones; None = as trained.
        """
        latest = popularity.ranking("latest")
        n_items = max(len(latest), n_items)
        new = np.arange(len(latest), n_items, dtype=np.int32)
        labels = popularity.category_labels
        categories = [popularity.category_ranking(label) for label in labels]
        if live is None:
            popular = np.concatenate((popularity.ranking("popular"), new))
            trending = np.concatenate((popularity.ranking("trending"), new))
        else:
            popular, trending = descending(live.all_time[:n_items]), descending(live.trending[:n_items])
            categories = _resorted(categories, live.scores)
        orders = [popular, trending, np.concatenate((new[::-1], latest)), *categories]
        self.rows = {label: index + 3 for index, label in enumerate(labels)}
        self._indptr = np.concatenate(([0], np.cumsum([len(order) for order in orders]))).astype(np.int64)
        self._items = np.concatenate(orders).astype(np.int32)
        self._one = [np.array([[order]], np.int32) for order in range(3)]

    def first(self, order: int, mask: Mask, n: int) -> I32:
        """Take the first n allowed items of one order, for every row of `mask`; (B, n) padded with -1."""
        which = self._one[order] if len(mask) == 1 else np.full((len(mask), 1), order, np.int32)
        return walk(self._indptr, self._items, which, mask, n)

    def of_categories(self, which: I32, mask: Mask, n: int) -> I32:
        """Take the first n allowed items of each category row in `which` (B, C), -1 = none."""
        return walk(self._indptr, self._items, which, mask, n)

    def codes(self, column: Column | None) -> I32:
        """Map the codes of a category column to rows; -1 = unknown when trained, and code -1 picks the last, -1."""
        labels = column.labels if column is not None else ()
        return np.array([*(self.rows.get(label, -1) for label in labels), -1], np.int32)


def _resorted(rows: list[I32], scores: F32) -> list[I32]:
    """Sort every list by score, best first, equal ones by lower row."""
    if not rows:
        return rows
    sizes = [len(row) for row in rows]
    best = descending(scores)
    place = np.empty(len(best), np.int64)
    place[best] = np.arange(len(best))
    keys = np.repeat(np.arange(len(rows)), sizes) * len(best) + place[np.concatenate(rows)]
    keys.sort()
    return np.split(best[keys % len(best)], np.cumsum(sizes)[:-1])
