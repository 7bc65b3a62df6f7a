"""The logarithmic opinion pool of calibrated models, in float64."""

import numpy as np


def blend(scores, slope, intercept, weight):
    log_odds = scores.astype(np.float64) * slope + intercept
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        share = np.where(np.isnan(log_odds), 0, weight)
        total = share.sum(axis=1, keepdims=True)
        contributions = np.where((share > 0) & (total > 0), share * np.nan_to_num(log_odds) / total, 0)
    logit = np.where(total[:, 0] > 0, contributions.sum(axis=1), np.nan)
    return logit, contributions


def stack(columns, n):
    absent = np.full(n, np.nan, np.float32)
    return np.array([absent if c is None else c for c in columns], np.float32).T.reshape(n, len(columns))
