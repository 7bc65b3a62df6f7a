"""The logarithmic opinion pool of calibrated models that abstain below their thresholds, in float64."""

import numpy as np


def blend(scores, slope, intercept, weight):
    beyond = scores.astype(np.float64) * slope + intercept
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        share = np.where(np.isnan(beyond), 0, weight)
        total = share.sum(axis=1, keepdims=True)
        wanted = ((share > 0) & (beyond > 0)).any(axis=1, keepdims=True)
        said = np.where(wanted, np.maximum(beyond, 0), beyond)
        contributions = np.where((share > 0) & (total > 0), share * np.nan_to_num(said) / total, 0)
    logit = np.where(total[:, 0] > 0, contributions.sum(axis=1), np.nan)
    return logit, contributions


def stack(columns, n):
    absent = np.full(n, np.nan, np.float32)
    return np.array([absent if c is None else c for c in columns], np.float32).T.reshape(n, len(columns))
