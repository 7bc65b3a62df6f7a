"""How well probabilities say how often something happens.

Stands in offline validation. In: probabilities and outcomes of pairs; out: numbers for the report, and the points of a
reliability diagram (DeGroot and Fienberg 1983).
"""

import msgspec
import numpy as np

from recengine.errors import ShapeError
from recengine.types import F64, Bools

__all__ = ("Bin", "brier", "ece", "reliability")

BINS = 10
"""Of equal width over 0..1."""


class Bin(msgspec.Struct, frozen=True):
    """The pairs whose probability falls into one tenth of 0..1."""

    confidence: float
    """Mean probability."""
    engaged: float
    """Share that happened."""
    pairs: int


def ece(confidence: F64, engaged: Bools) -> float:
    """Return the expected calibration error, 0..1: |mean probability - share| of each bin, averaged by pairs.

    Source: Naeini, Cooper and Hauskrecht 2015, section 2. NaN where there are no pairs.

    Raises
    ------
    ShapeError : the lengths differ.
    """
    found = reliability(confidence, engaged)
    total = sum(one.pairs for one in found)
    if total == 0:
        return float("nan")
    return sum(one.pairs * abs(one.confidence - one.engaged) for one in found) / total


def brier(confidence: F64, engaged: Bools) -> float:
    """Return the mean of (probability - outcome)^2, 0..1; 0.25 is what always saying 0.5 gets (Brier 1950).

    Pairs with a NaN probability are left out; NaN where none is left.

    Raises
    ------
    ShapeError : the lengths differ.
    """
    p, y = _known(confidence, engaged)
    return float(((p - y) ** 2).mean()) if len(p) else float("nan")


def reliability(confidence: F64, engaged: Bools) -> tuple[Bin, ...]:
    """Group pairs by probability; bins without pairs are left out, and so are pairs with NaN.

    Parameters
    ----------
    confidence : (n,) float64, 0..1.
    engaged : (n,) bool.

    Raises
    ------
    ShapeError : the lengths differ.
    """
    p, y = _known(confidence, engaged)
    which = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    pairs = np.bincount(which, minlength=BINS)
    said = np.bincount(which, weights=p, minlength=BINS)
    happened = np.bincount(which, weights=y, minlength=BINS)
    return tuple(
        Bin(float(said[b] / pairs[b]), float(happened[b] / pairs[b]), int(pairs[b])) for b in np.flatnonzero(pairs)
    )


def _known(confidence: F64, engaged: Bools) -> tuple[F64, F64]:
    if confidence.shape != engaged.shape or confidence.ndim != 1:
        raise ShapeError(f"confidence and engaged: expected one length, got {confidence.shape} and {engaged.shape}")
    there = ~np.isnan(confidence)
    return confidence[there].astype(np.float64), engaged[there].astype(np.float64)
