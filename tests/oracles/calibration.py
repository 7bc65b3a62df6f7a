"""What Platt scaling promises, written from the formulas."""

import numpy as np


def probabilities(line, scores):
    """1 / (1 + exp(-(slope s + intercept))); NaN stays NaN."""
    limit = float(np.finfo(np.float32).max)  # 0 * inf would be NaN
    z = line.slope * np.clip(scores.astype(np.float64), -limit, limit) + line.intercept
    return 0.5 * (1 + np.tanh(0.5 * z))


def calibration_error(p, engaged, bins=10):
    """Expected calibration error (Naeini et al. 2015): mean over equal bins of |mean p - share engaged|."""
    bucket = np.minimum((p * bins).astype(int), bins - 1)
    return sum(abs(p[bucket == b].sum() - engaged[bucket == b].sum()) for b in range(bins)) / len(p)
