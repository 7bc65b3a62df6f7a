"""Features that two others make: ratios, products, differences, and whether two are the same.

Below both spines. In: two rows of values. Out: one. Missing (NaN) is what lacks either, a ratio whose divisor is 0, and
what float32 cannot hold.
"""

from typing import Literal, TypeAlias

import numpy as np

from recengine.types import F32

__all__ = ("Op", "derive")

Op: TypeAlias = Literal["ratio", "product", "difference", "same"]


def derive(op: Op, a: F32, b: F32, out: F32 | None = None) -> F32:
    """Make one row of two.

    Parameters
    ----------
    op : ratio = a / b; product; difference = a - b; same = 1.0 where they are equal, else 0.0.
    a, b : float32, of one shape, or such that one is repeated along the other; codes of categories share a domain.
    out : float32, is filled and returned where given.

    Returns
    -------
    float32. Each value depends on its own two alone and is rounded once, whatever stands beside it.
    """
    shape = np.broadcast_shapes(np.shape(a), np.shape(b))
    made = np.empty(shape, np.float32) if out is None else out
    with np.errstate(all="ignore"):
        match op:
            case "ratio":
                np.divide(a, b, out=made)
            case "product":
                np.multiply(a, b, out=made)
            case "difference":
                np.subtract(a, b, out=made)
            case "same":
                np.copyto(made, np.equal(a, b))
                np.copyto(made, np.float32(np.nan), where=np.isnan(a) | np.isnan(b))
    np.copyto(made, np.float32(np.nan), where=~np.isfinite(made))
    return made
