"""Platt scaling: raw scores of any model -> P(engaged | score), so that models can be averaged.

Stands offline after the fit of each model (`sample` draws the pairs, `fit_platt` learns two numbers from their
scores); the blend kernel applies them. Classes are 1:1 in the sample, so the probabilities
say "engaged item or random eligible one" and are comparable across models, not click-through rates.
"""

import msgspec
import numpy as np

from recengine.errors import ShapeError
from recengine.types import F32, F64, I32, I64, Bools, Mask, Query

__all__ = ("Platt", "fit_platt", "sample")


class Platt(msgspec.Struct, frozen=True):
    """P(engaged | s) = 1 / (1 + exp(-(slope * s + intercept))); slope >= 0, so calibration never reverses an order."""

    slope: float
    intercept: float


def fit_platt(scores: F32, engaged: Bools) -> Platt:
    """Fit the sigmoid by penalised maximum likelihood.

    Targets are smoothed, (N+ + 1) / (N+ + 2) and 1 / (N- + 2), as a Bayesian estimate on the unseen would be (Platt
    1999, section 2.2); Newton's method with backtracking on the log-sum-exp form (Lin, Lin and Weng 2007, algorithm
    1). Scores are standardised first, so that the Hessian is well conditioned at any scale.

    Parameters
    ----------
    scores : (n,) float32; entries that are not finite are skipped.
    engaged : (n,) bool.

    Returns
    -------
    The line in the unit of `scores`. Slope 0 and the smoothed log-odds of the base rate where the scores are all
    equal, where one class is empty, or where higher scores mean less engagement.

    Cost: about 10 passes over n.
    """
    if scores.shape != engaged.shape or scores.ndim != 1:
        raise ShapeError(f"scores and engaged: expected one length, got {scores.shape} and {engaged.shape}")
    usable = np.isfinite(scores)
    x, y = scores[usable].astype(np.float64), engaged[usable]
    n_positive, n_negative = int(y.sum()), int((~y).sum())
    flat = Platt(0.0, float(np.log((n_positive + 1) / (n_negative + 1))))
    if n_positive == 0 or n_negative == 0:
        return flat
    mean, spread = float(x.mean()), float(x.std())
    if x.min() == x.max() or spread == 0 or not np.isfinite(spread):
        return flat
    target = np.where(y, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    slope, intercept = _newton((x - mean) / spread, target, flat.intercept)
    if slope <= 0:
        return flat
    return Platt(slope / spread, intercept - slope * mean / spread)


def sample(query: Query, positives: tuple[I64, I32], mask: Mask, *, seed: int) -> tuple[I64, I32, Bools]:
    """Draw the calibration sample: each row's positives, and as many negatives.

    Negatives are uniform, without replacement, over the eligible items of the row that are neither in its history
    nor positive; a row with fewer of them gets all. Each row draws from a seed of its own, (seed, user), so its draw
    does not depend on the batch it is in.

    Parameters
    ----------
    query : B rows.
    positives : indptr int64 (B + 1,), items int32; what the users engaged with after the history.
    mask : (B, n_items) uint8, 1 = eligible.

    Returns
    -------
    indptr int64 (B + 1,), items int32 (the positives, then the negatives, ascending), engaged bool.

    Cost: one pass over the mask.
    """
    starts, wanted = positives
    if len(starts) != len(query.users) + 1 or mask.shape[0] != len(query.users):
        raise ShapeError(
            f"positives and mask: expected {len(query.users)} rows, got {len(starts) - 1} and {mask.shape[0]}"
        )
    parts: list[I32] = []
    labels: list[Bools] = []
    history = query.history
    for row, user in enumerate(query.users):
        mine = wanted[starts[row] : starts[row + 1]]
        eligible = mask[row] == 1
        eligible[history.items[history.indptr[row] : history.indptr[row + 1]]] = False
        eligible[mine] = False
        pool = np.flatnonzero(eligible)
        rng = np.random.default_rng(
            (seed, int(user) + 1)
        )  # + 1: a seed may not be negative, and -1 is the unknown user
        drawn = (
            np.sort(rng.choice(pool, min(len(mine), len(pool)), replace=False, shuffle=False)) if len(pool) else pool
        )
        parts += [mine, drawn.astype(np.int32)]
        labels += [np.ones(len(mine), dtype=np.bool_), np.zeros(len(drawn), dtype=np.bool_)]
    sizes = [len(a) + len(b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    items = np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)
    return indptr, items, np.concatenate(labels) if labels else np.empty(0, dtype=np.bool_)


def _newton(x: F64, target: F64, intercept: float, iterations: int = 100) -> tuple[float, float]:
    """Minimise the cross entropy of target and sigmoid(slope * x + intercept); start at slope 0."""
    slope, ridge = 0.0, 1e-12  # the ridge keeps the Hessian positive definite (Lin et al. 2007, section 3)
    loss = _cross_entropy(slope * x + intercept, target)
    for _ in range(iterations):
        p = _sigmoid(slope * x + intercept)
        residual, curvature = p - target, p * (1 - p)
        g_slope, g_intercept = float(residual @ x), float(residual.sum())
        if abs(g_slope) < 1e-9 * len(x) and abs(g_intercept) < 1e-9 * len(x):
            break
        h11, h12, h22 = float(curvature @ (x * x)) + ridge, float(curvature @ x), float(curvature.sum()) + ridge
        determinant = h11 * h22 - h12 * h12
        d_slope = -(h22 * g_slope - h12 * g_intercept) / determinant
        d_intercept = -(h11 * g_intercept - h12 * g_slope) / determinant
        descent = g_slope * d_slope + g_intercept * d_intercept
        step = 1.0
        while step > 1e-10:
            trial = _cross_entropy((slope + step * d_slope) * x + intercept + step * d_intercept, target)
            if trial < loss + 1e-4 * step * descent:
                break
            step /= 2
        else:
            break  # no step lowers the loss any more: the optimum within rounding
        slope, intercept, loss = slope + step * d_slope, intercept + step * d_intercept, trial
    return slope, intercept


def _cross_entropy(z: F64, target: F64) -> float:
    """-sum(t log p + (1 - t) log(1 - p)), p = sigmoid(z), in the form that is exact at large |z| (Lin et al. 2007)."""
    return float((np.logaddexp(0, z) - target * z).sum())


def _sigmoid(z: F64) -> F64:
    half = np.tanh(0.5 * z)  # never overflows, unlike exp(-z)
    return np.asarray(0.5 * (1 + half), dtype=np.float64)
