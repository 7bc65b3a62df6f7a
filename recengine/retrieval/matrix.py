"""Scores: the pool x models matrix, and its blend into one ranking."""

import math
from collections.abc import Sequence

import numpy as np

from recengine.algorithms.base import costly
from recengine.kernels.blend import blend as blend_rows
from recengine.kernels.blend import stack
from recengine.kernels.topk import topk_ragged
from recengine.retrieval.deployment import Deployment, Member
from recengine.types import F32, Pool, Query, Ranked, ScoreTable

__all__ = ("UNSCORED", "blend", "column", "table")

UNSCORED = np.float32(-30.0)
"""Log-odds of an item that no model scored: P = 1e-13, below what any calibrated model says."""


def column(member: Member, query: Query, pool: Pool, *, threads: int = 1) -> F32:
    """Score the pool with one model, float32 (N,), NaN = not scored.

    A costly model scores a shortlist of every row, the best by its own rough estimate: what is on it depends on no
    other model and on no weight, so it is the same when weights are chosen and when they serve.
    """
    model = member.scorer
    if not costly(model):
        return model.score(query, pool.indptr, pool.items, threads=threads)
    rough = model.rough(query, pool.indptr, pool.items, threads=threads)
    indptr, positions = topk_ragged(rough, pool.indptr, member.scorer.config.shortlist, threads=threads)
    out = np.full(len(pool.items), np.nan, np.float32)
    out[positions] = member.scorer.score(query, indptr, pool.items[positions], threads=threads)
    return out


def table(deployment: Deployment, pool: Pool, columns: Sequence[F32 | None], lifts: F32 | None) -> ScoreTable:
    """Stand the columns side by side; None (a model that was dropped) becomes NaN."""
    scores = stack(columns, len(pool.items))
    return ScoreTable(pool, tuple(member.name for member in deployment.members), scores, lifts)


def blend(deployment: Deployment, scored: ScoreTable, n: int, *, threads: int = 1) -> Ranked:
    """Blend calibrated scores and keep the n best of every row.

    The blend is a weighted average of calibrated log-odds (the logarithmic opinion pool, Genest and Zidek 1986) and
    not of probabilities: near the top of a ranking every probability is close to 1 and an average of them loses the
    order that the models agree on.

    Where no model with a weight scored an item, popularity speaks, whatever its weight; an item that it does not know
    either ranks last, at `UNSCORED`, a constant, so that an answer does not depend on who else is in the batch. What
    the attributes of a cold user say is added on top, as the contribution `demographic`.
    """
    logits, contributions = blend_rows(scored.scores, deployment.slopes, deployment.intercepts, deployment.weights)
    if math.isnan(logits @ logits):  # squares only sum to NaN where there is one: one call instead of two
        silent = np.isnan(logits)
        logits[silent] = UNSCORED
        m = deployment.popular
        if m >= 0:
            rows = np.flatnonzero(silent & ~np.isnan(scored.scores[:, m]))
            prior = deployment.slopes[m] * scored.scores[rows, m] + deployment.intercepts[m]
            logits[rows] = contributions[rows, m] = prior
    models = scored.models
    if scored.lifts is not None:
        logits = logits + scored.lifts
        contributions = np.column_stack((contributions, scored.lifts))
        models = (*models, "demographic")
    pool = scored.pool
    indptr, positions = topk_ragged(logits, pool.indptr, n, threads=threads)
    return Ranked(
        indptr,
        pool.items[positions],
        logits[positions],
        contributions[positions],
        pool.sources[positions],
        models,
        pool.names,
        np.zeros(len(indptr) - 1, np.int32),
    )
