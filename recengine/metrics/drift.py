"""How far the values of one period lie from those of another.

Stands below monitoring and the report on features. In: counts by bin. Out: one number.
"""

import numpy as np
import numpy.typing as npt

__all__ = ("DRIFTED", "MOVED", "psi")

MOVED, DRIFTED = 0.1, 0.25
"""Population stability index from which a feature is worth a look, and from which a model should be trained anew."""
LEAST = 1e-4
"""Share that an empty bin is thought to hold: without it, one new value would be infinitely far."""


def psi(before: npt.NDArray[np.number], after: npt.NDArray[np.number]) -> float:
    """Compute the population stability index of two periods, >= 0; NaN where one of them has no rows.

    Sum over bins of (q - p) ln(q / p), with p and q the shares of the bin in each (Siddiqi 2006, Credit Risk
    Scorecards, chapter 10), at least 1e-4. `before` and `after` (B,) count rows by bin.
    """
    if before.sum() <= 0 or after.sum() <= 0:
        return float("nan")
    p = np.maximum(before / before.sum(), LEAST)
    q = np.maximum(after / after.sum(), LEAST)
    return float(((q - p) * np.log(q / p)).sum())
