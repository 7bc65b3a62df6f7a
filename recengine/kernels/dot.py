"""Score items for users by dot products: the n best of all items, or given items.

Stands under every factor model and the exact index. In: query vectors and packed item vectors; out: `TopN`, or scores.

Why packing: panels of 16 items, factor-major, make the sum of one (query, item) pair run over the factors in order in
one lane, so the bits do not depend on the batch, the tile or the threads; a single query streams memory once, and a
batch runs at matrix-multiply speed. The rows are kept too: a given item costs 1/16 of the cache lines there.
"""

import msgspec
import numpy as np

from recengine._native import dot as _native
from recengine.errors import ShapeError
from recengine.kernels import array, bad_indptr, positive
from recengine.types import F32, I32, I64, Mask, TopN

__all__ = ("Packed", "dot_ragged", "dot_topk", "pack")

_F32, _I32, _I64, _U8 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.uint8)
_LANES = 16
_BLOCK = _native.BLOCK_QUERIES


class Packed(msgspec.Struct, frozen=True):
    """Item vectors as the kernels read them: read-only float32 `panels` (ceil(n / 16), f, 16) and `rows` (n, f)."""

    n: int
    factors: int
    panels: F32
    rows: F32


def pack(vectors: F32) -> Packed:
    """Lay item vectors out for scoring; an item whose vector holds NaN is never picked and scores NaN.

    Parameters
    ----------
    vectors : (n, f) float32.

    Raises
    ------
    ShapeError : wrong shape or dtype.

    Cost: twice the memory of `vectors`.
    """
    rows = array("vectors", vectors, _F32, None, None).copy()
    n, factors = rows.shape
    shape = (-(-n // _LANES), factors, _LANES)
    size = shape[0] * factors * _LANES
    buffer = np.empty(size + _LANES, np.float32)
    start = -(buffer.ctypes.data // 4) % _LANES  # one cache line holds one factor of a panel
    panels = buffer[start : start + size].reshape(shape)
    _native.pack(rows, panels)
    rows.flags.writeable = panels.flags.writeable = False
    return Packed(n, factors, panels, rows)


def dot_topk(queries: F32, packed: Packed, n: int, mask: Mask | None = None, *, threads: int = 1) -> TopN:
    """Pick the n items with the highest dot product for every query.

    Parameters
    ----------
    queries : (B, f) float32; a row with NaN picks nothing.
    packed : from `pack`.
    n : >= 1; short rows are padded with item -1 and score NaN.
    mask : (B, at least packed.n) uint8, 0 = may not be picked; columns beyond packed.n (newer items) are ignored.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype.

    Cost: B n_items f multiply-adds; one pass over the panels for a block of queries; no row of scores is ever held.
    """
    queries = array("queries", queries, _F32, None, packed.factors)
    n, threads = positive("n", n), positive("threads", threads)
    rows = len(queries)
    if mask is not None:
        mask = array("mask", mask, _U8, rows, None)
        if mask.shape[1] < packed.n:
            raise ShapeError(f"mask: expected uint8 ({rows}, at least {packed.n}), got uint8 {mask.shape}")
    items = np.empty((rows, n), np.int32)
    scores = np.empty((rows, n), np.float32)
    block = min(_BLOCK, max(rows, 1))
    heaps = np.empty((threads, block, n), np.uint64)
    tiles = np.empty((threads, (block + 16) * packed.factors + 1), np.float32)
    sizes = np.empty((threads, block), np.int64)
    _native.dot_topk(queries, packed.panels, packed.n, mask, items, scores, heaps, tiles, sizes, threads)
    return TopN(items, scores)


def dot_ragged(queries: F32, packed: Packed, indptr: I64, items: I32, *, threads: int = 1) -> F32:
    """Score given items for every query, bit-equal to `dot_topk`.

    Parameters
    ----------
    queries : (B, f) float32; a row with NaN scores NaN.
    packed : from `pack`.
    indptr : (B + 1,) int64: query b gets `items[indptr[b]:indptr[b + 1]]`.
    items : (N,) int32; rows outside 0 .. packed.n - 1 score NaN.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype, or `indptr` does not fit.
    """
    queries = array("queries", queries, _F32, None, packed.factors)
    indptr = array("indptr", indptr, _I64, len(queries) + 1)
    items = array("items", items, _I32, None)
    scores = np.empty(len(items), np.float32)
    bad = _native.dot_ragged(queries, packed.rows, indptr, items, scores, positive("threads", threads))
    if bad >= 0:
        raise bad_indptr(bad)
    return scores
