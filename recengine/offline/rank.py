"""Rankings over the whole catalogue, as serving makes them: what `choose`, `validate` and `recengine evaluate` judge.

In: a deployment or one model, a `Part`, users. Out: (B, n) item rows, best first, -1 = nothing left. Users go through
in batches of at most `BATCH` users and `CELLS` users x items, so that a mask stays at 16 MB for any catalogue, with the
same answers.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from recengine.algorithms.base import Scorer
from recengine.config import Config, favourites
from recengine.features.user import favourite_categories
from recengine.offline.build import Part, eligible, query
from recengine.retrieval.cold import lifts
from recengine.retrieval.deployment import Deployment
from recengine.retrieval.matrix import blend, column, table
from recengine.retrieval.sources import CELLS, Asked, Orders, Source, declared, gather
from recengine.retrieval.variety import arrange
from recengine.types import I32, Mask, Pool, Query, ScoreTable

__all__ = ("batches", "blended", "of_model", "scored", "served")

BATCH = 1024


def batches(users: I32, n_items: int) -> Iterator[I32]:
    """Cut `users` into pieces that may be ranked at once over `n_items`."""
    for rows in _slices(len(users), n_items):
        yield users[rows]


def _slices(n_users: int, n_items: int) -> Iterator[slice]:
    size = max(1, min(BATCH, CELLS // max(n_items, 1)))
    for start in range(0, n_users, size):
        yield slice(start, start + size)


def scored(
    deployment: Deployment,
    sources: Sequence[Source],
    orders: Orders,
    part: Part,
    users: I32,
    config: Config,
    *,
    changed: Mask | None = None,
    threads: int = 1,
) -> ScoreTable:
    """Gather candidates of `users` and score them with every model, by the same calls as a request.

    `changed` uint8 (B,): 1 = the history is newer than the deployment.
    """
    asked = query(part.data, users, limit=config.serving.history_limit, changed=changed)
    mask = eligible(part, users)
    cold = np.diff(asked.history.indptr) < config.serving.cold_below
    told = Asked(
        query=asked,
        mask=mask,
        orders=orders,
        cold=cold,
        favourites=_favourites(orders, part, asked, config),
        threads=threads,
    )
    pool = gather(sources, told, limit=config.serving.pool, needed=config.training.at)
    added = lifts(deployment, pool, users, cold, None)
    return table(deployment, pool, [column(m, asked, pool, threads=threads) for m in deployment.members], added)


def blended(
    deployment: Deployment,
    part: Part,
    users: I32,
    n: int,
    config: Config,
    *,
    changed: Mask | None = None,
    watch: Callable[[I32, Pool], None] | None = None,
    threads: int = 1,
) -> I32:
    """Rank with the whole deployment: pool, scores, blend, variety. Returns (len(users), n) int32.

    `watch` is shown the users and the pool of every batch.
    """
    sources, orders = declared(deployment, config.candidates), Orders(deployment.popularity, deployment.n_items)
    out = np.full((len(users), n), -1, np.int32)
    for rows in _slices(len(users), part.data.items.n):
        some = None if changed is None else changed[rows]
        tab = scored(deployment, sources, orders, part, users[rows], config, changed=some, threads=threads)
        if watch is not None:
            watch(users[rows], tab.pool)
        out[rows] = served(deployment, tab, n, config, threads=threads)
    return out


def served(deployment: Deployment, scores: ScoreTable, n: int, config: Config, *, threads: int = 1) -> I32:
    """Blend scores, arrange the best for variety as a request without wishes is answered: (B, n), -1 = none left."""
    ranked = blend(deployment, scores, max(config.serving.shortlist, n), threads=threads)
    relevance = np.full(len(scores.pool.indptr) - 1, _relevance(deployment, config), np.float32)
    picks = arrange(deployment, ranked, n, relevance, window=config.diversity.window, threads=threads)
    return np.where(picks >= 0, ranked.items[np.maximum(picks, 0)] if len(ranked.items) else -1, -1).astype(np.int32)


def of_model(model: Scorer, part: Part, users: I32, n: int, config: Config, *, threads: int = 1) -> I32:
    """Rank every eligible item with one model alone. Returns (len(users), n) int32."""
    out = np.full((len(users), n), -1, np.int32)
    for rows in _slices(len(users), part.data.items.n):
        some = users[rows]
        asked = query(part.data, some, limit=config.serving.history_limit)
        out[rows] = model.recommend(asked, n, eligible(part, some), threads=threads).items
    return out


def _relevance(deployment: Deployment, config: Config) -> float:
    """Return lambda of MMR as a request without wishes gets it."""
    return config.diversity.relevance if config.diversity.enabled and np.any(deployment.vectors) else 1.0


def _favourites(orders: Orders, part: Part, asked: Query, config: Config) -> I32:
    """Find the category rows of `orders` that each user likes most, as the request's features do."""
    column = part.data.items.columns.get(config.serving.category)
    if column is None or column.kind not in {"string", "strings"}:
        return np.empty((len(asked.users), 0), np.int32)
    return orders.codes(column)[favourite_categories(asked.history, column, favourites(config.candidates))]
