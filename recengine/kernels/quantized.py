"""Learn product quantizers, encode rows in 16 bytes, and rank all items by their codes.

Stands under `index.pq`. In: vectors, or queries. Out: centroids, codes, `TopN`. A row is cut into 32 parts, and each is
one of 16 centroids (Jegou, Douze, Schmid 2011, "Product Quantization for Nearest Neighbor Search"): 16 bytes. The scan
keeps the table of a query in registers (Andre, Kermarrec, Le Scouarnec 2017, "Accelerated Nearest Neighbor Search with
Quick ADC"), and blocks of 32 items stand by falling norm, so that it may end early.
"""

import msgspec
import numpy as np

from recengine._native import quantized as _native
from recengine.errors import ShapeError
from recengine.kernels import array, positive
from recengine.types import F32, I32, Mask, TopN

__all__ = ("CODES", "SUBS", "Quantized", "adc_topm", "encode", "lay_out", "lloyd")

_F32, _I32, _U8 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.uint8)
SUBS = 32
"""Parts of a row."""
CODES = 16
"""Centroids of a part."""
_BLOCK = 32


class Quantized(msgspec.Struct, frozen=True):
    """Items by their codes.

    `rotation` float32 (d, 32 w) with orthonormal rows, `centroids` float32 (32, 16, w), `codes` uint8 (blocks, 32, 16):
    byte i holds item i below and item i + 16 above; `ids` int32 (32 blocks,), -1 = none; `norms` float32 (blocks,): the
    largest length of what the codes of a block, or of a later one, stand for.
    """

    rotation: F32
    centroids: F32
    codes: Mask
    ids: I32
    norms: F32


def lloyd(rows: F32, centroids: F32, steps: int, *, threads: int = 1) -> F32:
    """Improve centroids (32, 16, w) over `rows` (n, 32 w) by `steps` rounds of k-means (Lloyd 1982), float32.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype.

    Cost: 16 n w 32 multiply-adds a round.
    """
    centroids = array("centroids", centroids, _F32, SUBS, CODES, None).copy()
    rows = array("rows", rows, _F32, None, SUBS * centroids.shape[2])
    sums, counts = np.empty(centroids.shape), np.empty((SUBS, CODES), np.int64)
    _native.lloyd(rows, centroids, sums, counts, positive("steps", steps), positive("threads", threads))
    return centroids


def encode(rows: F32, centroids: F32, *, threads: int = 1) -> Mask:
    """Return the nearest centroid of every part of `rows` (n, 32 w): uint8 (n, 32), ties to the lower code.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype.
    """
    centroids = array("centroids", centroids, _F32, SUBS, CODES, None)
    rows = array("rows", rows, _F32, None, SUBS * centroids.shape[2])
    codes = np.empty((len(rows), SUBS), np.uint8)
    _native.encode(rows, centroids, codes, positive("threads", threads))
    return codes


def lay_out(rotation: F32, centroids: F32, codes: Mask, items: I32) -> Quantized:
    """Order `codes` (n, 32) of the items `items` int32 (n,) by falling norm, 32 a block.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype.
    """
    centroids = array("centroids", centroids, _F32, SUBS, CODES, None)
    rotation = array("rotation", rotation, _F32, None, SUBS * centroids.shape[2])
    codes = array("codes", codes, _U8, None, SUBS)
    items = array("items", items, _I32, len(codes))
    lengths = np.square(centroids, dtype=np.float64).sum(axis=2)
    squares = np.zeros(len(codes))
    for part in range(SUBS):
        squares += lengths[part, codes[:, part]]
    order = np.argsort(-squares, kind="stable")
    blocks = -(-len(codes) // _BLOCK)
    ids = np.full(blocks * _BLOCK, -1, np.int32)
    ids[: len(codes)] = items[order]
    whole = np.zeros((blocks * _BLOCK, SUBS), np.uint8)
    whole[: len(codes)] = codes[order]
    halves = whole.reshape(blocks, 2, 16, SUBS)
    packed = np.ascontiguousarray((halves[:, 0] | halves[:, 1] << 4).transpose(0, 2, 1))
    norms = np.nextafter(np.sqrt(squares[order[::_BLOCK]]).astype(np.float32), np.float32(np.inf))
    return Quantized(rotation, centroids, packed, ids, norms)


def adc_topm(
    queries: F32, quantized: Quantized, rows: int, m: int, mask: Mask | None = None, *, threads: int = 1
) -> tuple[TopN, Mask]:
    """Pick the m items whose codes have the largest product with every query, by tables of one byte an entry.

    Parameters
    ----------
    queries : (B, d) float32, not rotated.
    quantized : of `lay_out`.
    rows : how many items there are.
    m : >= 1; short rows are padded with item -1 and score NaN.
    mask : (B, at least rows) uint8, 0 = may not be picked.

    Returns
    -------
    the picks, best first, ties of the sum of bytes to the lower item, scores as the tables say; and uint8 (B,), 0 = the
    query has no table (NaN, nothing but zeros, or at the ends of float32's range): its row is empty.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype.

    Cost: 16 bytes an item; about 80 instructions a block of 32 items.
    """
    queries = array("queries", queries, _F32, None, len(quantized.rotation))
    m, threads = positive("m", m), positive("threads", threads)
    if mask is not None:
        mask = array("mask", mask, _U8, len(queries), None)
        if mask.shape[1] < rows:
            raise ShapeError(f"mask: expected uint8 ({len(queries)}, at least {rows}), got uint8 {mask.shape}")
    items = np.full((len(queries), m), -1, np.int32)
    scores = np.full((len(queries), m), np.nan, np.float32)
    answered = np.zeros(len(queries), np.uint8)
    block = _native.BLOCK_QUERIES
    heaps, sizes = np.empty((threads, block, m), np.uint64), np.empty((threads, block), np.int64)
    space = np.empty(quantized.rotation.shape[1], np.float32)
    parts = (quantized.rotation, quantized.centroids, quantized.codes, quantized.ids, quantized.norms)
    _native.adc_topm(queries, *parts, mask, items, scores, answered, heaps, space, sizes, threads)
    return TopN(items, scores), answered
