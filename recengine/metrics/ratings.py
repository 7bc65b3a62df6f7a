"""How far predicted ratings are from those that were given.

Stands in `recengine evaluate --protocol ratings`. In: two arrays of the same length. Out: one number, in the ratings'
own unit.
"""

import numpy as np

from recengine.errors import ShapeError
from recengine.types import F32, F64

__all__ = ("mae", "rmse")


def rmse(predicted: F32, given: F32) -> float:
    """Root of the mean squared error; NaN where there is no rating.

    Raises
    ------
    ShapeError : the lengths differ.
    """
    errors = _errors(predicted, given)
    return float(np.sqrt(np.square(errors).mean())) if len(errors) else float("nan")


def mae(predicted: F32, given: F32) -> float:
    """Mean absolute error; NaN where there is no rating.

    Raises
    ------
    ShapeError : the lengths differ.
    """
    errors = _errors(predicted, given)
    return float(np.abs(errors).mean()) if len(errors) else float("nan")


def _errors(predicted: F32, given: F32) -> F64:
    if predicted.shape != given.shape or predicted.ndim != 1:
        raise ShapeError(f"predicted: expected the shape of given {given.shape}, got {predicted.shape}")
    return predicted.astype(np.float64) - given.astype(np.float64)
