"""Door to the walk over precomputed orders (popular, trending, per category)."""

import numpy as np

from recengine._native import walk as _walk
from recengine.errors import ShapeError
from recengine.types import I32, Mask

__all__ = ("walk",)


def walk(orders: I32, which: I32, mask: Mask, n: int) -> I32:
    """Take the first n allowed items of precomputed orders.

    Parameters
    ----------
    orders : (R, L) int32, item rows best first, -1 ends an order early.
    which : (B, C) int32, the orders that row b walks; -1 = none.
    mask : (B, n_items) uint8; an order's item beyond n_items is passed over.
    n : >= 0, items taken of each order.

    Returns
    -------
    (B, C * n) int32: block c of row b is padded with -1.

    Raises
    ------
    ShapeError : a dimension is wrong.

    Cost: items taken plus items struck out.  Oracle: tests/oracles/walk.py
    """
    if orders.ndim != 2 or which.ndim != 2 or mask.ndim != 2 or len(which) != len(mask) or n < 0:
        raise ShapeError(
            f"walk: expected orders (R, L), which (B, C), mask (B, I), n >= 0; "
            f"got {orders.shape}, {which.shape}, {mask.shape}, {n}"
        )
    out = np.full((len(which), which.shape[1] * n), -1, dtype=np.int32)
    _walk.walk(
        np.ascontiguousarray(orders, dtype=np.int32),
        np.ascontiguousarray(which, dtype=np.int32),
        np.ascontiguousarray(mask, dtype=np.uint8),
        n,
        out,
    )
    return out
