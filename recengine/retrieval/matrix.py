"""Scores: the pool x models matrix, and its blend into one ranking.

Why an abstaining model counts as a vote of 0 and is not left out of the average: NDCG@20 on validation parts, weights
chosen on half of the users and judged on the other, by a prototype in numpy (ALS 64, item_knn, user_knn, popularity):

                                       ml100k   s3rec_beauty  Gowalla
    everybody speaks                   .1137    .0611         .1261
    abstaining = 0, weights as before  .1138    .0611         .1262    this
    abstaining = left out              .1051    .0593         .1249    what one model alone likes wins: no blend is left
    mean of probabilities              .1068    .0604         .1270    near the top all are close to 1
    log-odds of the beta curves        .1107    .0595         .1270    the knee flattens the top
    z-scores of each user's pool       .1092    .0614         .1273    (with 256 factors .1317 against .1302)
    reciprocal ranks, 1 / (10 + rank)  .1069    .0597         .1274

Most differ by less than chance would. The line is kept because it needs no other candidates: an item is worth the same
whatever else stands in the pool, so that what `explain` says of it alone is what it was shown with.
"""

import math
from collections.abc import Sequence

import numpy as np

from recengine.algorithms.base import costly
from recengine.kernels.blend import blend as blend_rows
from recengine.kernels.blend import stack
from recengine.kernels.topk import topk_ragged
from recengine.retrieval.deployment import Deployment, Member
from recengine.types import F32, F64, Pool, Query, Ranked, ScoreTable

__all__ = ("CALIBRATION", "UNSCORED", "blend", "column", "confidence", "pooled", "table")

CALIBRATION = "calibration"
"""What a reply calls the difference between the pooled log-odds and the calibrated ones."""

UNSCORED = np.float32(-30.0)
"""Log-odds of an item that no model scored, below what any calibrated model says."""


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
