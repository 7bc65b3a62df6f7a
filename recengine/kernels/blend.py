"""Turn the opinions of several models into one.

Stands in the online stage `ensemble`, and offline where weights are learnt. In: raw scores and a line a model; out:
pooled log-odds, and what every model contributed.
"""

from collections.abc import Sequence

import numpy as np

from recengine._native import blend as _native
from recengine.errors import ShapeError
from recengine.kernels import array
from recengine.types import F32

__all__ = ("blend", "stack")

_F32 = np.dtype(np.float32)


def stack(columns: Sequence[F32 | None], n: int) -> F32:
    """Stand the columns of M models, float32 (n,), side by side: float32 (n, M); None, a model without, becomes NaN.

    Raises
    ------
    ShapeError : a column has the wrong shape or dtype.
    """
    checked = tuple(
        None if column is None else array(f"columns[{m}]", column, _F32, n) for m, column in enumerate(columns)
    )
    out = np.empty((n, len(checked)), np.float32)
    _native.stack(checked, out)
    return out


def blend(scores: F32, slope: F32, intercept: F32, weight: F32) -> tuple[F32, F32]:
    """Pool the log-odds of M models for N items: the logarithmic opinion pool, in which the unsure abstain.

    Per model l = slope s + intercept, log-odds beyond the model's threshold. Where some model says l > 0 the others
    abstain: logit = sum w max(l, 0) / sum w over the models that scored, > 0. Where none does, logit = sum w l / sum w,
    <= 0: below every item that somebody wants, in the order of all opinions.

    Parameters
    ----------
    scores : (N, M) float32, NaN = not scored.
    slope, intercept : (M,) float32, from `algorithms.calibration`, less the threshold.
    weight : (M,) float32 >= 0; 0 = the model is shown but has no say.

    Returns
    -------
    logit (N,) float32, NaN where no model with weight scored; contributions (N, M) float32, each model's part of the
    sum, 0 where it abstains or did not score: they sum to `logit`.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype, or a weight is negative or NaN.

    Source: Genest and Zidek 1986 (the pool); Platt 1999 (the calibration).
    """
    scores = array("scores", scores, _F32, None, None)
    models = scores.shape[1]
    slope = array("slope", slope, _F32, models)
    intercept = array("intercept", intercept, _F32, models)
    weight = array("weight", weight, _F32, models)
    logit = np.empty(len(scores), np.float32)
    contributions = np.empty(scores.shape, np.float32)
    scratch = np.empty((9, 16 * models), np.float32)
    bad = _native.blend(scores, slope, intercept, weight, logit, contributions, scratch)
    if bad >= 0:
        raise ShapeError(f"weight: expected values >= 0, got {weight[bad]} for model {bad}")
    return logit, contributions
