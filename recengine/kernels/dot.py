"""Score items for users by dot products: the n best of all items, or given items.

Stands under every factor model and the exact index. In: query vectors and packed item vectors; out: `TopN`, or scores.

Why packing: panels of 16 items, factor-major, make the sum of one (query, item) pair run over the factors in order in
one lane, so the bits do not depend on the batch, the tile or the threads; a single query streams memory once, and a
batch runs at matrix-multiply speed. The rows are kept too: a given item costs 1/16 of the cache lines there.

Why a sketch besides: one query does two flops for every four bytes it reads, so it waits for memory. With one byte a
factor, and items in the order of their norm, bounds show that all but about 1 % of the items cannot be among the best;
those are scored from the rows (see `_native/sketch.h`). The answer is the same, bit for bit.
"""

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from recengine._native import dot as _native
from recengine.errors import ShapeError
from recengine.kernels import array, bad_indptr, positive
from recengine.types import F32, I32, I64, Mask, TopN

__all__ = ("Packed", "Sketch", "dot_ragged", "dot_topk", "pack", "sketch")

_F32, _I32, _I64, _U8 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.uint8)
_LANES = 16
_BLOCK, _FEW, _STEP = _native.BLOCK_QUERIES, _native.FEW, _native.STEP


class Sketch(msgspec.Struct, frozen=True):
    """Item vectors by falling norm, 16 a panel, rounded to bytes, and how far off that may be; read-only.

    `codes` uint8 (panels, ceil(f / 4), 16, 4), 128 = 0; `scales` float32 and `ids` int32 (16 panels,), -1 = no item;
    `bounds` float32 (2, panels): the largest norm of a panel, and the largest distance to what its codes stand for.
    """

    codes: Mask
    scales: F32
    ids: I32
    bounds: F32


class Packed(msgspec.Struct, frozen=True):
    """Item vectors as the kernels read them: read-only float32 `panels` (ceil(n / 16), f, 16) and `rows` (n, f)."""

    n: int
    factors: int
    panels: F32
    rows: F32
    sketch: Sketch | None
    """None where a vector is not bounded: infinite, or of length 0."""


def pack(vectors: F32) -> Packed:
    """Lay item vectors out for scoring; an item whose vector holds NaN is never picked and scores NaN.

    Parameters
    ----------
    vectors : (n, f) float32.

    Raises
    ------
    ShapeError : wrong shape or dtype.

    Cost: 2.3 times the memory of `vectors`.
    """
    rows = array("vectors", vectors, _F32, None, None).copy()
    n, factors = rows.shape
    shape = (-(-n // _LANES), factors, _LANES)
    panels = _aligned(shape, _F32)
    _native.pack(rows, panels)
    rows.flags.writeable = panels.flags.writeable = False
    return Packed(n, factors, panels, rows, sketch(rows))


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Allocate on a cache line: one line then holds one factor of a panel, or four of its codes."""
    size = math.prod(shape) * dtype.itemsize
    buffer = np.empty(size + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    return buffer[start : start + size].view(dtype).reshape(shape)


def sketch(rows: F32) -> Sketch | None:
    """Round (n, f) float32 `rows` to bytes by falling norm; rows with NaN are left out.

    None where there is nothing to round: no rows, no factors, or an infinite norm.
    """
    n, factors = rows.shape
    if n == 0 or factors == 0:
        return None
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    usable = np.flatnonzero(~np.isnan(norms))
    if np.isinf(norms[usable]).any():
        return None
    panels = -(-len(usable) // (_LANES * _STEP)) * _STEP
    ids = np.full(panels * _LANES, -1, np.int32)
    ids[: len(usable)] = usable[np.argsort(-norms[usable], kind="stable")]
    codes = _aligned((panels, -(-factors // 4), _LANES, 4), _U8)
    scales, bounds = np.empty(panels * _LANES, np.float32), np.empty((2, panels), np.float32)
    _native.sketch(rows, ids, norms, codes, scales, bounds)
    for part in (codes, scales, ids, bounds):
        part.flags.writeable = False
    return Sketch(codes, scales, ids, bounds)


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
    For a few queries at most n_items f bytes each, and the rows that may be among the best.
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
    sketch = packed.sketch
    if sketch is not None and 0 < rows <= _FEW and len(sketch.codes):
        heap, space = np.empty((threads, n), np.uint64), np.empty((threads, packed.factors + 4), np.int8)
        parts = (sketch.codes, sketch.scales, sketch.ids, sketch.bounds)
        if _native.dot_topk_few(queries, packed.rows, *parts, mask, items, scores, heap, space, threads):
            return TopN(items, scores)
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
