"""Rank all items by one byte a factor, and score given items from their rows: what an index does first and last.

Stands under `index`. In: query vectors, the sketch of item vectors (`dot.sketch`), rows. Out: `TopN`. Why two steps: a
scan of bytes reads a quarter of the memory and multiplies four times as many numbers an instruction, and its few best
are put in their true order by `rescore`.
"""

import numpy as np

from recengine._native import scan as _native
from recengine.errors import ShapeError
from recengine.kernels import array, bad_indptr, positive
from recengine.kernels.dot import Sketch
from recengine.types import F32, I32, I64, Mask, TopN

__all__ = ("bytes_topm", "rescore")

_F32, _I32, _I64, _U8 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.uint8)


def bytes_topm(
    queries: F32, sketch: Sketch, rows: int, m: int, mask: Mask | None = None, *, threads: int = 1
) -> tuple[TopN, Mask]:
    """Pick the m items whose codes have the largest product with the codes of every query.

    Codes of a vector x are rint(x / s) with s = max |x| / 127. A score is sum(codes of query * codes of item) in
    integers, times s of the item in float32: the inner product over s of the query, give or take the rounding.

    Parameters
    ----------
    queries : (B, f) float32, f > 0.
    sketch : of item vectors with f factors.
    rows : how many items there are; `sketch` leaves out those with NaN.
    m : >= 1; short rows are padded with item -1 and score NaN.
    mask : (B, at least rows) uint8, 0 = may not be picked.

    Returns
    -------
    the picks, best first, ties to the lower item; and uint8 (B,), 0 = the query has no codes (NaN, nothing but zeros,
    or at the ends of float32's range): its row is empty, score it with `rescore`.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype.

    Cost: at most f bytes an item; the scan ends where the norms of what is left cannot reach the m-th best.
    """
    queries = array("queries", queries, _F32, None, None)
    factors, quads = queries.shape[1], sketch.codes.shape[1]
    if -(-factors // 4) != quads:
        raise ShapeError(f"queries: expected float32 (B, {4 * quads - 3} to {4 * quads}), got float32 {queries.shape}")
    m, threads = positive("m", m), positive("threads", threads)
    mask = _masked(mask, len(queries), rows)
    items = np.full((len(queries), m), -1, np.int32)
    scores = np.full((len(queries), m), np.nan, np.float32)
    answered = np.zeros(len(queries), np.uint8)
    block = _native.BLOCK_QUERIES
    heaps, sizes = np.empty((threads, block, m), np.uint64), np.empty((threads, block), np.int64)
    space = np.empty((block, factors + 4), np.int8)
    parts = (sketch.codes, sketch.scales, sketch.ids, sketch.bounds)
    _native.bytes_topm(queries, *parts, mask, items, scores, answered, heaps, space, sizes, threads)
    return TopN(items, scores), answered


def rescore(
    queries: F32, rows: F32, indptr: I64, given: I32, n: int, mask: Mask | None = None, *, threads: int = 1
) -> TopN:
    """Pick the n best of given items for every query, in the bits of `dot.dot_topk`.

    Parameters
    ----------
    queries : (B, f) float32; a row with NaN picks nothing.
    rows : (n_items, f) float32; a row with NaN is never picked.
    indptr : (B + 1,) int64: query b gets `given[indptr[b]:indptr[b + 1]]`.
    given : (N,) int32, no item twice in a row; what is outside 0 .. n_items - 1 is passed over.
    n : >= 1; short rows are padded with item -1 and score NaN.
    mask : (B, at least n_items) uint8, 0 = may not be picked.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype, or `indptr` does not fit.
    """
    queries = array("queries", queries, _F32, None, None)
    rows = array("rows", rows, _F32, None, queries.shape[1])
    indptr = array("indptr", indptr, _I64, len(queries) + 1)
    given = array("given", given, _I32, None)
    n, threads = positive("n", n), positive("threads", threads)
    mask = _masked(mask, len(queries), len(rows))
    items, scores = np.empty((len(queries), n), np.int32), np.empty((len(queries), n), np.float32)
    heaps = np.empty((threads, n), np.uint64)
    bad = _native.rescore(queries, rows, indptr, given, mask, items, scores, heaps, threads)
    if bad >= 0:
        raise bad_indptr(bad)
    return TopN(items, scores)


def _masked(mask: Mask | None, users: int, rows: int) -> Mask | None:
    if mask is None:
        return None
    mask = array("mask", mask, _U8, users, None)
    if mask.shape[1] < rows:
        raise ShapeError(f"mask: expected uint8 ({users}, at least {rows}), got uint8 {mask.shape}")
    return mask
