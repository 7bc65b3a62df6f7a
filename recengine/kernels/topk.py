"""Pick the n best: of dense score rows, and of ragged ones.

Stands wherever a stage cuts: in, scores with NaN = not scored; out, positions best first, ties to the lower one.
"""

import numpy as np

from recengine._native import topk as _native
from recengine.kernels import array, bad_indptr, positive
from recengine.types import F32, I64, Mask, TopN

__all__ = ("topk", "topk_ragged")

_F32, _I64, _U8 = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.uint8)


def topk(scores: F32, n: int, mask: Mask | None = None, *, threads: int = 1) -> TopN:
    """Pick the n best items of every row.

    Parameters
    ----------
    scores : (B, I) float32; NaN is never picked.
    n : >= 1; short rows are padded with item -1 and score NaN.
    mask : (B, I) uint8, 0 = may not be picked.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype.

    Cost: O(B I + B n log n log I) for scores in random order.
    """
    scores = array("scores", scores, _F32, None, None)
    if mask is not None:
        mask = array("mask", mask, _U8, *scores.shape)
    n, threads = positive("n", n), positive("threads", threads)
    items = np.empty((len(scores), n), np.int32)
    best = np.empty((len(scores), n), np.float32)
    _native.topk(scores, mask, items, best, np.empty((threads, n), np.uint64), threads)
    return TopN(items, best)


def topk_ragged(scores: F32, indptr: I64, n: int, *, threads: int = 1) -> tuple[I64, I64]:
    """Pick the at most n best of every ragged row.

    Parameters
    ----------
    scores : (N,) float32; NaN is dropped.
    indptr : (B + 1,) int64.
    n : >= 1.

    Returns
    -------
    indptr (B + 1,) int64 and flat positions (K,) int64 into `scores`, best first within a row, ties to the lower one.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype, or `indptr` does not fit.
    """
    scores = array("scores", scores, _F32, None)
    indptr = array("indptr", indptr, _I64, None)
    n, threads = positive("n", n), positive("threads", threads)
    kept = np.empty(max(len(indptr), 1), np.int64)
    positions = np.empty(len(scores), np.int64)
    bad = _native.topk_ragged(scores, indptr, n, kept, positions, np.empty(2 * len(scores), np.uint64), threads)
    if bad >= 0:
        raise bad_indptr(bad)
    return kept, positions[: kept[-1]]
