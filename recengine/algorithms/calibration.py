"""Calibration: raw scores of any model -> P(engaged | score), so that a confidence means something.

Stands offline after the fit of each model (`sample` draws the pairs, `calibrate` learns the curve from their scores);
the blend pools the curves' lines, and stops listening where a curve falls below the model's `confidence_threshold`.
Classes are 1:1 in the sample, so the probabilities say "engaged item or random eligible one" and are comparable across
models, not click-through rates.

Two families. Platt's is a line in log-odds. Beta calibration (Kull, Silva Filho and Flach 2017) is
a ln s - b ln(1 - s) + c and needs s in (0, 1); a raw score gets there by Platt's sigmoid, which keeps the order and
makes Platt the case a = b = 1, c = 0. In log-odds that is a line with a soft knee: slope a below even odds, b above.
Most models need the knee: their scores tell liked from random items better than they tell liked ones apart.
`calibrate` takes beta where it explains users better that it was not fitted to; what it came to stands in the report of
every training (`ece`, and `recengine train --calibration`).
"""

import msgspec
import numpy as np

from recengine.errors import ShapeError
from recengine.types import F32, F64, I32, I64, Bools, Mask, Query

__all__ = ("Curve", "calibrate", "fit_beta", "fit_platt", "sample")


class Curve(msgspec.Struct, frozen=True):
    """P(engaged | s) = sigmoid(l), l = low z + (high - low) ln(1 + e^z) + shift, on the line z = slope s + intercept.

    Never decreasing: slope, low and high are >= 0, so calibration never reverses an order.
    """

    slope: float = 1.0
    intercept: float = 0.0
    low: float = 1.0
    """Slope of l over z far below z = 0 (`a` of Kull et al.)."""
    high: float = 1.0
    """The same far above (`b`)."""
    shift: float = 0.0
    least: float = -100.0
    """Lowest z that the curve was fitted to."""
    most: float = 100.0
    """Highest z."""

    @property
    def family(self) -> str:
        """`platt`, or `beta`."""
        return "platt" if self.low == self.high == 1 and self.shift == 0 else "beta"

    def log_odds(self, scores: F32 | F64) -> F64:
        """Return l of every score, float64; NaN stays NaN."""
        finite = np.clip(np.asarray(scores, np.float64), -_LARGEST, _LARGEST)  # 0 * inf would be NaN
        return self._bent(np.clip(self.slope * finite + self.intercept, -_LARGEST, _LARGEST))

    def confidence(self, scores: F32 | F64) -> F64:
        """Return P(engaged | s) of every score, float64 0..1; NaN stays NaN."""
        return _sigmoid(self.log_odds(scores))

    def line_at(self, confidence: float) -> float:
        """Find the z where P reaches `confidence`, within what the curve was fitted to.

        A curve that lies above or below everywhere gives the end that is nearer.
        """
        with np.errstate(divide="ignore"):
            wanted = float(np.log(confidence) - np.log1p(-confidence))
        low, high = self.least, self.most
        for _ in range(60):  # to the last bits of float32
            middle = 0.5 * (low + high)
            if self._bent(np.array(middle)) >= wanted:
                high = middle
            else:
                low = middle
        return high

    def _bent(self, z: F64) -> F64:
        above = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))  # ln(1 + e^z), silent about NaN
        return np.asarray(self.low * z + (self.high - self.low) * above + self.shift, np.float64)


_LARGEST = 1e30
"""What an infinite score counts as."""


def calibrate(scores: F32, engaged: Bools, users: I64) -> Curve:
    """Fit both families and keep the one with the lower log loss on users that it was not fitted to (two folds).

    Parameters
    ----------
    scores : (n,) float32; entries that are not finite are skipped.
    engaged : (n,) bool.
    users : (n,) int64, whose pair it is; the folds are its even and its odd values.

    Raises
    ------
    ShapeError : the lengths differ.

    Cost: about 100 passes over n.
    """
    if users.shape != scores.shape:
        raise ShapeError(f"users: expected length {len(scores)}, got {users.shape}")
    line = fit_platt(scores, engaged)
    if line.slope == 0:
        return line
    usable = np.isfinite(scores)
    fold = users % 2 == 1
    platt = beta = 0.0
    for held in (fold, ~fold):
        inside, outside = usable & ~held, usable & held
        guess = fit_platt(scores[inside], engaged[inside])
        knee = fit_beta(scores[inside], engaged[inside], guess)
        wanted = engaged[outside].astype(np.float64)
        platt += _cross_entropy(guess.log_odds(scores[outside]), wanted)
        beta += _cross_entropy(knee.log_odds(scores[outside]), wanted)
    return fit_beta(scores, engaged, line) if beta < platt else line


def fit_beta(scores: F32, engaged: Bools, line: Curve) -> Curve:
    """Bend `line`, a Platt fit of the same pairs, by maximum likelihood with Platt's smoothed targets.

    Logistic regression on ln s and -ln(1 - s), s = sigmoid(line); a slope that comes out negative is set to 0 and the
    rest is fitted again (Kull, Silva Filho and Flach 2017, section 4). A line of slope 0 stays as it is.

    Cost: about 20 passes over n.
    """
    usable = np.isfinite(scores)
    if line.slope == 0 or not usable.any():
        return line
    z = line.slope * scores[usable].astype(np.float64) + line.intercept
    target = _smoothed(engaged[usable])
    bent = np.logaddexp(0, z)
    features = np.column_stack((z - bent, bent))  # ln s and -ln(1 - s)
    used = [0, 1]
    while used:
        found = _newton(features[:, used], target, 0.0)
        wrong = [f for f, slope in zip(used, found[:-1], strict=True) if slope < 0]
        if not wrong:
            break
        used = [f for f in used if f not in wrong]
    if not used:
        return line
    slopes = dict(zip(used, found[:-1].tolist(), strict=True))
    low, high = slopes.get(0, 0.0), slopes.get(1, 0.0)
    return msgspec.structs.replace(line, low=low, high=high, shift=float(found[-1]))


def fit_platt(scores: F32, engaged: Bools) -> Curve:
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
    flat = Curve(0.0, float(np.log((n_positive + 1) / (n_negative + 1))))
    if n_positive == 0 or n_negative == 0:
        return flat
    mean, spread = float(x.mean()), float(x.std())
    if x.min() == x.max() or spread == 0 or not np.isfinite(spread):
        return flat
    slope, intercept = _newton(((x - mean) / spread)[:, None], _smoothed(y), flat.intercept).tolist()
    if slope <= 0:
        return flat
    slope, intercept = slope / spread, intercept - slope * mean / spread
    ends = slope * np.array([x.min(), x.max()]) + intercept
    return Curve(slope, intercept, least=float(ends[0]), most=float(ends[1]))


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


def _smoothed(engaged: Bools) -> F64:
    """Targets of a Bayesian estimate on the unseen (Platt 1999, section 2.2)."""
    n_positive, n_negative = int(engaged.sum()), int((~engaged).sum())
    return np.where(engaged, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))


def _newton(features: F64, target: F64, intercept: float, iterations: int = 100) -> F64:
    """Minimise the cross entropy of target and sigmoid(features @ slopes + intercept); start at slopes 0.

    Returns the slopes, then the intercept.
    """
    x = np.column_stack((features, np.ones(len(features))))
    at = np.zeros(x.shape[1])
    at[-1] = intercept
    ridge = 1e-12 * np.eye(len(at))  # keeps the Hessian positive definite (Lin et al. 2007, section 3)
    loss = _cross_entropy(x @ at, target)
    for _ in range(iterations):
        p = _sigmoid(x @ at)
        gradient = x.T @ (p - target)
        if (np.abs(gradient) < 1e-9 * len(x)).all():
            break
        step = -np.linalg.solve((x.T * (p * (1 - p))) @ x + ridge, gradient)
        length, descent = 1.0, float(gradient @ step)
        while length > 1e-10:
            trial = _cross_entropy(x @ (at + length * step), target)
            if trial < loss + 1e-4 * length * descent:
                break
            length /= 2
        else:
            break  # no step lowers the loss any more: the optimum within rounding
        at, loss = at + length * step, trial
    return at


def _cross_entropy(z: F64, target: F64) -> float:
    """-sum(t log p + (1 - t) log(1 - p)), p = sigmoid(z), in the form that is exact at large |z| (Lin et al. 2007)."""
    return float((np.logaddexp(0, z) - target * z).sum())


def _sigmoid(z: F64) -> F64:
    half = np.tanh(0.5 * z)  # never overflows, unlike exp(-z)
    return np.asarray(0.5 * (1 + half), dtype=np.float64)
