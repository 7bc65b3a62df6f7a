"""Lists that are not made for one user's taste: popular, trending, latest, items like an item, users like a user.

Rows in, rows and scores out; they use the same deployment and the same snapshot of the catalogue as requests do.
"""

import numpy as np

from recengine.algorithms.base import SimilarItems, SimilarUsers
from recengine.errors import BadRequest
from recengine.online.candidates import CandidateStage
from recengine.online.state import State
from recengine.retrieval.deployment import Deployment
from recengine.types import F32, I32, Mask, Query, TopN

__all__ = ("Lists",)

_NONE: tuple[I32, F32] = (np.empty(0, np.int32), np.empty(0, np.float32))


class Lists:
    """Reads one deployment."""

    def __init__(self, deployment: Deployment, state: State, candidates: CandidateStage) -> None:
        self._deployment = deployment
        self._state = state
        self._candidates = candidates

    def ranking(self, kind: str, n: int, category: str | None, query: Query) -> tuple[I32, F32]:
        """List available items along a precomputed order (popular, trending, latest), with their popularity, 0..1.

        Raises
        ------
        BadRequest : no such category was known when the deployment was trained; n < 1.
        """
        _check(n)
        rows = self._candidates.ranking(kind, n, category)
        scores = self._deployment.popularity.score(query, np.array([0, len(rows)], np.int64), rows)
        return rows, np.nan_to_num(scores, nan=0.0)  # an item newer than the deployment has no popularity yet

    def similar_items(self, item: int, n: int) -> tuple[I32, F32]:
        """List the n available items most like `item`, with their similarity; the first model that knows decides."""
        _check(n)
        available = self._state.items.available
        for member in self._deployment.members:
            if isinstance(member.scorer, SimilarItems):
                found = member.scorer.similar_items(np.array([item], np.int32), min(2 * n + 50, len(available)))
                rows, scores = _kept(found, available)
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


def _kept(found: TopN, available: Mask | None) -> tuple[I32, F32]:
    rows, scores = found.items[0], found.scores[0]
    keep = rows >= 0
    if available is not None:
        keep &= available[np.maximum(rows, 0)] == 1
    return rows[keep], scores[keep]
