"""Walk precomputed orders (popular, trending, per category) under a mask.

Stands under the candidate sources and popularity. In: orders as CSR rows; out: item rows, padded with -1.
"""

import numpy as np

from recengine._native import walk as _native
from recengine.errors import ShapeError
from recengine.kernels import array, bad_indptr
from recengine.types import I32, I64, Mask

__all__ = ("walk",)

_I32, _I64, _U8 = np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.uint8)


def walk(indptr: I64, items: I32, which: I32, mask: Mask, n: int) -> I32:
    """Take the first n allowed items of precomputed orders.

    Parameters
    ----------
    indptr, items : int64 (R + 1,) and int32, item rows; order r is `items[indptr[r]:indptr[r + 1]]`, best first.
    which : (B, C) int32, the orders that row b walks; outside 0 .. R - 1 = none.
    mask : (B, n_items) uint8; an order's item beyond n_items is passed over.
    n : >= 0, items taken of each order.

    Returns
    -------
    (B, C * n) int32: block c of row b is padded with -1.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype.

    Cost: items taken plus items struck out.  Oracle: tests/oracles/walk.py
    """
    indptr, items = array("indptr", indptr, _I64, None), array("items", items, _I32, None)
    which = array("which", which, _I32, None, None)
    mask = array("mask", mask, _U8, len(which), None)
    if n < 0:
        raise ShapeError(f"n: expected >= 0, got {n}")
    out = np.empty((len(which), which.shape[1] * n), np.int32)
    bad = _native.walk(indptr, items, which, mask, n, out)
    if bad >= 0:
        raise bad_indptr(bad)
    return out
