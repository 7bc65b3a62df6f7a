"""The check of one array, in plain Python."""

import numpy as np


def fits(value, dtype, shape):
    if not isinstance(value, np.ndarray) or value.dtype != dtype or value.ndim != len(shape):
        return False
    return all(want is None or want == have for want, have in zip(shape, value.shape, strict=True))
