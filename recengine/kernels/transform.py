"""Apply fitted transforms to features: the model's matrix, by one call.

Stands under `features/transforms`, in training and serving alike. In: values, a row a feature. Out: a row an item.
"""

import numpy as np

from recengine._native import transform as _native
from recengine.errors import ShapeError
from recengine.kernels import array
from recengine.types import F32, I32, I64, Mask

__all__ = ("AFFINE", "CURVE", "CYCLIC", "KNOTS", "LOG", "TABLE", "transform")

AFFINE, LOG, CURVE, TABLE, CYCLIC = range(5)
"""What a step does: (x - center) * scale within [low, high]; the same of log(1 + max(x, 0)); a piecewise linear curve;
a row of a table by code; sine and cosine of x * scale turns."""
KNOTS = 256
"""Knots of a curve, at most. Its part of `tables`: knots, padded with inf; their results; slopes; every 16th knot."""

_F32, _I32, _I64, _U8 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.uint8)


def transform(
    values: F32,
    constant: Mask,
    steps: I32,
    numbers: F32,
    tables: F32,
    seen: Mask,
    counts: I64,
    *,
    width: int,
    places: I32 | None = None,
    out: F32 | None = None,
) -> F32:
    """Turn S features of n items into a matrix.

    Parameters
    ----------
    values : (R, n) float32, NaN = missing; rows may lie apart, so that a part of a wider buffer is taken as it is.
    constant : (S,) uint8; 1 = all items have the first value, and only that one is read.
    steps : (S, 6) int32: what to do (`AFFINE` ...), first column, columns, start in `tables`, length (knots of a curve,
        codes of a table), start in `seen` (-1: all codes of the table are seen). Columns follow one another.
    numbers : (S, 6) float32: default of what is missing, center, scale, low, high, and the result where all is missing.
    tables : float32, of curves and of codes: a table has a row a code, then one for codes beyond, one for missing.
    seen : uint8 by row of a table; 0 = a code that is counted as unseen.
    counts : (2, S) int64, writable; rows that were missing and rows of an unseen code are added.
    width : columns of the matrix.
    places : (S,) int32, the row of `values` that each step reads; None = R is S, and each reads its own.
    out : (n, width) float32 to write to; None = a new one.

    Returns
    -------
    (n, width) float32; the same bits for any n and any place of an item among them.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype, or a step or a place reaches outside its arrays.

    Cost: 0.25 ns a scaled number, 0.8 a logarithm, 3 a curve, and 3 us a call.  Oracle: tests/oracles/transform.py
    """
    if not (isinstance(values, np.ndarray) and values.dtype == _F32 and values.ndim == 2 and values.strides[1] == 4):
        values = array("values", values, _F32, None, None)
    rows, n = values.shape
    if values.strides[0] % 4 or (rows > 1 and values.strides[0] < 4 * n):
        values = np.ascontiguousarray(values)
    features = rows
    if places is not None:
        places = array("places", places, _I32, None)
        features = len(places)
    constant = array("constant", constant, _U8, features)
    steps, numbers = array("steps", steps, _I32, features, 6), array("numbers", numbers, _F32, features, 6)
    tables, seen = array("tables", tables, _F32, None), array("seen", seen, _U8, None)
    if array("counts", counts, _I64, 2, features) is not counts:
        raise ShapeError("counts: expected an array that can be written to in place, got one that is strided")
    bad = _native.check(steps, numbers, tables, len(seen), width)
    if bad >= 0:
        raise ShapeError(f"steps: expected steps inside their arrays that fill {width} columns, not at step {bad}")
    if out is None:
        out = np.empty((n, width), np.float32)
    elif array("out", out, _F32, n, width) is not out:
        raise ShapeError("out: expected an array that can be written to in place, got one that is strided")
    bad = _native.transform(values, places, constant, steps, numbers, tables, seen, out, counts)
    if bad >= 0:
        raise ShapeError(f"places: expected rows of values, 0 to {rows - 1}, not at step {bad}")
    return out
