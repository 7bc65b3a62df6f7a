"""Fit a smoothed target encoding, out of fold for the rows it is fitted on.

Offline, on training rows only. In: codes, outcomes and folds. Out: a `Step` whose `folds` hold one table a fold.

Why out of fold: a category of one row would otherwise be encoded by its own outcome, and a model would learn to read
the outcome off it. Why one prior for all folds: a prior of the other folds is lower where the own fold's outcomes are
higher, which tells the outcome again.
"""

import numpy as np

from recengine.features.definition import Feature
from recengine.features.transforms.categorical import coded
from recengine.features.transforms.steps import Step
from recengine.types import F32, F64, I32, I64

__all__ = ("SMOOTHING", "target")

SMOOTHING = 20.0
"""Rows that the prior counts for."""


def target(feature: Feature, codes: I64, labels: tuple[str, ...], outcomes: F32, folds: I32) -> Step:
    """Encode a category by its mean outcome, (sum + m prior) / (rows + m) with m = 20 (Micci-Barreca 2001, section 3).

    Unseen and missing = the prior, the mean of all outcomes.
    """
    n, n_folds = len(labels), int(folds.max(initial=-1)) + 1
    prior = float(outcomes.mean(dtype=np.float64)) if len(outcomes) else 0.0
    known = codes >= 0
    cell = folds[known].astype(np.int64) * n + codes[known]
    counts = np.bincount(cell, minlength=n_folds * n).reshape(n_folds, n)
    sums = np.bincount(cell, weights=outcomes[known], minlength=n_folds * n).reshape(n_folds, n)
    whole, total = sums.sum(axis=0), counts.sum(axis=0)
    without = _smoothed(whole - sums, total - counts, prior)
    return coded(feature, (), _smoothed(whole, total, prior)[:, np.newaxis], total, without)


def _smoothed(sums: F64, counts: I64, prior: float) -> F32:
    """Mean outcomes (..., n) and the two rows that stand for codes beyond and missing."""
    means = (sums + SMOOTHING * prior) / (counts + SMOOTHING)
    rest = np.full((*means.shape[:-1], 2), prior)
    return np.ascontiguousarray(np.concatenate((means, rest), axis=-1), np.float32)
