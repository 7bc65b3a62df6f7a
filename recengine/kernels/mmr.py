"""Arrange candidates for relevance and variety: greedy maximal marginal relevance.

Stands in the online stage `diversity`. In: a ranked pool and unit vectors; out: flat positions in the order of showing.

Why relevance is min-max scaled to 0..1 per row: a cosine runs over 0..1, a score over whatever its model likes
(log-odds, dot products, counts). Unscaled, lambda would mean something else for every model and after each training.
"""

import numpy as np

from recengine._native import mmr as _native
from recengine.errors import ShapeError
from recengine.kernels import array, bad_indptr, positive
from recengine.types import F32, I32, I64

__all__ = ("mmr",)

_F32, _I32, _I64 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64)
_LANES = 16


def mmr(
    items: I32, relevance: F32, indptr: I64, vectors: F32, n: int, relevance_weight: F32, *, threads: int = 1
) -> I64:
    """Pick n candidates of every row: the most relevant, then argmax of w relevance - (1 - w) max cosine to the picked.

    Parameters
    ----------
    items : (N,) int32 rows of `vectors`; a row that is not there, or is all zero, has cosine 0 with everything.
    relevance : (N,) float32, any unit, NaN = never picked; scaled to 0..1 within each row.
    indptr : (B + 1,) int64.
    vectors : (n_items, d) float32 of unit length.
    n : >= 1.
    relevance_weight : (B,) float32, 0..1 (lambda of the paper); 1 gives exactly the order of relevance.

    Returns
    -------
    (B, n) int64 flat positions, -1 where nothing is left; ties to the earlier position. Negative cosines count as 0.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype, `indptr` does not fit, or a weight is outside 0..1.

    Source: Carbonell and Goldstein 1998, section 2.
    """
    indptr = array("indptr", indptr, _I64, None)
    items = array("items", items, _I32, None)
    relevance = array("relevance", relevance, _F32, len(items))
    vectors = array("vectors", vectors, _F32, None, None)
    rows = max(len(indptr) - 1, 0)
    weight = array("relevance_weight", relevance_weight, _F32, rows)
    bad, longest = _native.check(indptr, len(items))
    if bad >= 0:
        raise bad_indptr(bad)
    if not _native.in_unit_interval(weight):
        raise ShapeError(f"relevance_weight: expected values in 0..1, got {weight.min()} .. {weight.max()}")
    n, threads = positive("n", n), positive("threads", threads)
    picks = np.empty((rows, n), np.int64)
    blocks = longest // _LANES + 1
    longest, d = blocks * _LANES, vectors.shape[1]
    _native.mmr(
        items,
        relevance,
        indptr,
        vectors,
        weight,
        picks,
        np.empty((threads, 2 * longest), np.uint64),
        np.empty((threads, longest * d + 1), np.float32),
        np.empty((threads, 5 * longest + min(n, longest) * d), np.float32),
        np.empty((threads, blocks), np.int32),
        longest,
        threads,
    )
    return picks
