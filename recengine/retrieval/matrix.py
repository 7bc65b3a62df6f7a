"""Scores: the pool x models matrix, and its blend into one ranking.

Why an abstaining model counts as a vote of 0 and is not left out of the average: left out, what one model alone likes
wins, and there is no blend left. Why votes on the calibrations' lines, and not probabilities, z-scores of a pool or
reciprocal ranks: near the top all probabilities are close to 1, and the knee of a beta curve flattens it; the other two
depend on what else stands in the pool. Here an item is worth the same whatever the other candidates are, so that what
`explain` says of it alone is what it was shown with.
"""

import math
from collections.abc import Sequence

import numpy as np

from recengine.algorithms.base import costly
from recengine.kernels.blend import blend as blend_rows
from recengine.kernels.blend import stack
from recengine.kernels.topk import topk_ragged
from recengine.retrieval.deployment import Deployment, Member
from recengine.types import F32, F64, I64, Pool, Query, Ranked, ScoreTable

__all__ = ("CALIBRATION", "UNSCORED", "blend", "column", "confidence", "pooled", "table")

CALIBRATION = "calibration"
"""What a reply calls the difference between the pooled log-odds and the calibrated ones."""

UNSCORED = np.float32(-30.0)
"""Log-odds of an item that no model scored, below what any calibrated model says."""


def column(member: Member, query: Query, pool: Pool, *, threads: int = 1) -> F32:
    """Score the pool with one model, float32 (N,), NaN = not scored.

    A costly model scores a shortlist of every row, the best by its own rough estimate: what is on it depends on no
    other model and on no weight, so it is the same when weights are chosen and when they serve. What its estimate put
    behind the shortlist gets the least score on it: left unscored, the other models alone would speak for it, and it
    would pass items that the model looked at and was less sure of than they are.
    """
    model = member.scorer
    if not costly(model):
        return model.score(query, pool.indptr, pool.items, threads=threads)
    rough = model.rough(query, pool.indptr, pool.items, threads=threads)
    indptr, positions = topk_ragged(rough, pool.indptr, member.scorer.config.shortlist, threads=threads)
    scores = member.scorer.score(query, indptr, pool.items[positions], threads=threads)
    out = _least(scores, indptr, pool.indptr)
    out[np.isnan(rough)] = np.nan
    out[positions] = scores
    return out


def _least(scores: F32, indptr: I64, to: I64) -> F32:
    """Spread the least score of every row over a row of `to`, float32; NaN where the row has no score."""
    least = np.full(len(to) - 1, np.nan, np.float32)
    filled = np.flatnonzero(indptr[1:] > indptr[:-1])
    if len(filled):
        least[filled] = np.fmin.reduceat(scores, indptr[filled])
    return np.repeat(least, np.diff(to))


def table(deployment: Deployment, pool: Pool, columns: Sequence[F32 | None], lifts: F32 | None) -> ScoreTable:
    """Stand the columns side by side; None (a model that was dropped) becomes NaN."""
    scores = stack(columns, len(pool.items))
    return ScoreTable(pool, tuple(member.name for member in deployment.members), scores, lifts)


def blend(deployment: Deployment, scored: ScoreTable, n: int, *, threads: int = 1) -> Ranked:
    """Blend calibrated scores and keep the n best of every row.

    The blend is a weighted average of log-odds on the calibration's line (the logarithmic opinion pool, Genest and
    Zidek 1986), counted from the model's `confidence_threshold` and not below it: a model that is not sure of an item
    abstains. An item that no model wants stands below all others and only fills a reply up.

    Where no model with a weight scored an item, popularity speaks, whatever its weight; an item that it does not know
    either ranks last, at `UNSCORED`, a constant, so that an answer does not depend on who else is in the batch. What
    the attributes of a cold user say is added on top, as the contribution `demographic`.
    """
    logits, contributions = _opinions(deployment, scored.scores)
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


def pooled(deployment: Deployment, scores: F32) -> F32:
    """Blend raw scores (N, M) of pairs that stand in no pool: log-odds (N,), float32."""
    return _opinions(deployment, np.ascontiguousarray(scores))[0]


def confidence(deployment: Deployment, logits: F32) -> tuple[F64, F64]:
    """Return the calibrated log-odds and P(engaged), float64, of what the blend gave."""
    odds = deployment.curve.log_odds(logits)
    return odds, 1.0 / (1.0 + np.exp(-odds))


def _opinions(deployment: Deployment, scores: F32) -> tuple[F32, F32]:
    logits, contributions = blend_rows(scores, deployment.slopes, deployment.intercepts, deployment.weights)
    if math.isnan(logits @ logits):  # squares only sum to NaN where there is one: one call instead of two
        silent = np.isnan(logits)
        logits[silent] = UNSCORED
        m = deployment.popular
        if m >= 0:
            rows = np.flatnonzero(silent & ~np.isnan(scores[:, m]))
            prior = deployment.slopes[m] * scores[rows, m] + deployment.intercepts[m]
            logits[rows] = contributions[rows, m] = prior
    return logits, contributions
