"""Lists that are not made for one user's taste: popular, trending, latest, items like an item, users like a user.

Rows in, rows and scores out; they use the same deployment and the same snapshot of the catalogue as requests do.
"""

import numpy as np

from recengine.algorithms.base import SimilarItems, SimilarUsers
from recengine.errors import BadRequest
from recengine.kernels.topk import topk
from recengine.online.candidates import CandidateStage
from recengine.online.counters import Live
from recengine.online.state import State
from recengine.retrieval.deployment import Deployment
from recengine.types import F32, I32, Mask, Query, TopN

__all__ = ("Lists",)

_NONE: tuple[I32, F32] = (np.empty(0, np.int32), np.empty(0, np.float32))


class Lists:
    """Reads one deployment."""

    def __init__(self, deployment: Deployment, state: State, live: Live, candidates: CandidateStage) -> None:
        self._deployment = deployment
        self._state = state
        self._live = live
        self._candidates = candidates

    def ranking(self, kind: str, n: int, category: str | None) -> tuple[I32, F32]:
        """List available items by kind (popular, trending, latest), with what they are listed by, 0..1.

        The newest have their popularity, all-time and of late blended, and so have the items of a category.

        Every event folded in so far counts, those of items newer than the deployment too; a category is listed by the
        popularity.

        Raises
        ------
        BadRequest : no such category was known when the deployment was trained; n < 1.

        Cost: a pass over the catalogue.
        """
        _check(n)
        live = self._live
        items = self._state.items
        n = min(n, max(items.n, 1))
        if category is not None:
            known = self._deployment.popularity.category_labels
            if category not in known:
                raise BadRequest(
                    f"category: none is called {category!r}", hint=f"known: {', '.join(sorted(known)[:20]) or 'none'}"
                )
            scores = live.now(items.n).scores
            rows = self._deployment.popularity.category_ranking(category)
            rows = rows[items.available[rows] == 1]
            rows = rows[np.lexsort((rows, -scores[rows]))][:n]
        elif kind == "latest":
            rows = self._candidates.latest(n)
            scores = live.now(max(items.n, int(rows.max(initial=-1)) + 1)).scores  # the catalogue may have grown
        else:
            standing = live.now(items.n)
            scores = standing.all_time if kind == "popular" else standing.trending
            rows = topk(scores[None, : items.n], n, items.available[None, :]).items[0]
            rows = rows[rows >= 0]
        return rows, scores[rows]

    def similar_items(self, item: int, n: int) -> tuple[I32, F32]:
        """List the n available items most like `item`, with their similarity; the first model that knows decides.

        What is not available takes no place: the model is asked for more until n are left, or it knows no more.
        """
        _check(n)
        available = self._state.items.available
        for member in self._deployment.members:
            if isinstance(member.scorer, SimilarItems):
                rows, scores = _alike(member.scorer, item, n, available)
                if len(rows):
                    return rows[:n], scores[:n]
        return _NONE

    def similar_users(self, query: Query, n: int) -> tuple[I32, F32]:
        """List the n users most like the one of `query`, with their similarity; the first model that knows decides."""
        _check(n)
        for member in self._deployment.members:
            if isinstance(member.scorer, SimilarUsers):
                rows, scores = _kept(member.scorer.similar_users(query, n), None)
                if len(rows):
                    return rows, scores
        return _NONE


def _check(n: int) -> None:
    if not isinstance(n, int) or n < 1:
        raise BadRequest(f"n: expected an integer >= 1, got {n!r}")


def _alike(model: SimilarItems, item: int, n: int, available: Mask) -> tuple[I32, F32]:
    wanted, which = 2 * n + 50, np.array([item], np.int32)
    while True:
        wanted = min(wanted, len(available))
        found = model.similar_items(which, wanted)
        rows, scores = _kept(found, available)
        if len(rows) >= n or wanted == len(available) or found.items[0, -1] < 0:  # -1 = it knows no more
            return rows, scores
        wanted *= 4


def _kept(found: TopN, available: Mask | None) -> tuple[I32, F32]:
    rows, scores = found.items[0], found.scores[0]
    keep = rows >= 0
    if available is not None:
        keep &= available[np.maximum(rows, 0)] == 1
    return rows[keep], scores[keep]
