"""Candidates: which items are worth scoring for each request, and which source found each.

Every source sees the mask of eligible items before it picks, so no later filter can empty a reply. The sources of
the founding design (similar users' items, items similar to the latest ones, popular in the user's categories,
popular, trending) are here what the models themselves recommend plus precomputed orders; nothing is sampled.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from recengine.algorithms.popularity import Popularity
from recengine.algorithms.standing import Standing, descending
from recengine.config import Candidates
from recengine.kernels.pool import merge
from recengine.kernels.walk import walk
from recengine.retrieval.cold import alike
from recengine.retrieval.deployment import Deployment, Member
from recengine.types import F32, I32, Bools, Column, Mask, Pool, Query

__all__ = ("CELLS", "Lists", "Orders", "gather", "personal", "union")

CELLS = 16_000_000
"""Cells of the mask (requests x items) that one batch may hold: 16 MB."""

Lists = list[tuple[str, I32]]
"""(source name, (B, n) int32 items best first, -1 = none)."""


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


def personal(member: Member, query: Query, mask: Mask, n: int, threads: int) -> I32:
    """List what one model would recommend, (B, n)."""
    return member.scorer.recommend(query, n, mask, threads=threads).items


def gather(
    deployment: Deployment,
    orders: Orders,
    query: Query,
    mask: Mask,
    limits: Candidates,
    *,
    cold: Bools,
    favourites: I32,
    attributes: Mapping[int, Mapping[str, Any]] | None = None,
    needed: int = 0,
    extra: Sequence[tuple[str, I32]] = (),
    guard: Callable[[Member, Callable[[], I32]], I32 | None] | None = None,
    threads: int = 1,
) -> Pool:
    """Collect the candidates of B requests.

    Parameters
    ----------
    mask : (B, n_items) uint8, eligible items.
    cold : (B,) rows that also ask the demographic source.
    favourites : (B, C) int32 category rows of `orders`, -1 = none.
    attributes : what is known of the user of a cold row; without it the demographic source uses what it knew when
        trained.
    needed : every row gets at least so many candidates when so many items are eligible.
    extra : lists that come first, such as pins.
    guard : runs the source of one member and returns None when it failed; without it a failure propagates.

    Returns
    -------
    Pool of at most max(limits.limit, needed) items a row; of all that the sources found where there are `extra` lists.
    """
    run = guard or (lambda _member, source: source())
    lists: Lists = list(extra)
    for member in deployment.members:
        if isinstance(member.scorer, Popularity) or limits.per_model == 0:
            continue
        found = run(member, partial(personal, member, query, mask, limits.per_model, threads))
        if found is not None:
            lists.append((member.name, found))
    demographic = deployment.demographic
    if demographic is not None and limits.demographic and cold.any():
        lists.append(("demographic", alike(demographic, query.users, mask, limits.demographic, cold, attributes)))
    for name, order, n in (
        ("popular", orders.POPULAR, limits.popular),
        ("trending", orders.TRENDING, limits.trending),
        ("latest", orders.LATEST, limits.latest),
    ):
        if n:
            lists.append((name, orders.first(order, mask, n)))
    if limits.per_category and favourites.shape[1] and orders.rows:
        lists.append(("category", orders.of_categories(favourites, mask, limits.per_category)))
    limit = max(limits.limit, needed)
    if extra:  # what was asked for by name is never cut
        limit = max(limit, sum(found.shape[1] for _, found in lists))
    return union(lists, orders, mask, limit=limit, needed=needed, threads=threads)


def union(lists: Lists, orders: Orders, mask: Mask, *, limit: int, needed: int, threads: int = 1) -> Pool:
    """Merge lists into a pool.

    Where a row has fewer than `needed`, fill it up along the popular order, which holds every item.
    """
    indptr, items, sources = merge([found for _, found in lists], limit=limit, n_items=mask.shape[1], threads=threads)
    if len(indptr) > 2 or indptr[-1] < needed:  # one row that has enough, the rule, costs one comparison
        short = np.flatnonzero(np.diff(indptr) < needed)
    else:
        short = np.empty(0, np.int64)
    if len(short):
        fill = np.full((len(mask), needed), -1, np.int32)
        fill[short] = orders.first(orders.POPULAR, mask[short], needed)  # only those rows, or a batch would differ
        lists = [*lists, ("fill", fill)]
        indptr, items, sources = merge([f for _, f in lists], limit=limit, n_items=mask.shape[1], threads=threads)
    names = tuple(name for name, _ in lists)
    return Pool(indptr, items, sources, names)
