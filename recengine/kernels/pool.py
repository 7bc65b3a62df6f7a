"""Unite what the candidate sources found into one pool.

Stands in the online stage `candidates` and its offline twin. In: one list of items a source, best first.
Out: the columns of the pool.
"""

from collections.abc import Sequence

import numpy as np

from recengine._native import pool as _native
from recengine.errors import ShapeError
from recengine.kernels import array, positive
from recengine.types import I32, I64, U32

__all__ = ("merge",)

_I32 = np.dtype(np.int32)


def merge(lists: Sequence[I32], *, limit: int, n_items: int, threads: int = 1) -> tuple[I64, I32, U32]:
    """Unite the sources' lists of every row, by rank, up to `limit` distinct items a row.

    Rank 0 of every source comes first, in source order, then rank 1, and so on.

    Parameters
    ----------
    lists : 1 to 32 arrays (B, n_s) int32, best first, negative = no item.
    limit : >= 1, the most items of one row.
    n_items : >= 0; every item is below it.

    Returns
    -------
    indptr (B + 1,) int64; items (K,) int32, ascending and unique within a row; sources (K,) uint32, bit s = list s
    holds the item, at whatever rank.

    Raises
    ------
    ShapeError : wrong shape or dtype, no list or more than 32, or an item >= n_items.

    Cost: O(entries + n_items / 64) a row.
    """
    if not 1 <= len(lists) <= 32:
        raise ShapeError(f"lists: expected 1 to 32 arrays, got {len(lists)}")
    first = array("lists[0]", lists[0], _I32, None, None)
    rows = len(first)
    checked = (first, *(array(f"lists[{s}]", lists[s], _I32, rows, None) for s in range(1, len(lists))))
    limit, threads = min(positive("limit", limit), sum(x.shape[1] for x in checked)), positive("threads", threads)
    if n_items < 0:
        raise ShapeError(f"n_items: expected an integer >= 0, got {n_items}")
    words = n_items // 64 + 1
    indptr = np.empty(rows + 1, np.int64)
    items = np.empty(rows * limit, np.int32)
    sources = np.empty(rows * limit, np.uint32)
    members = np.zeros((threads, words), np.uint64)
    before = np.empty((threads, words), np.int32)
    bad = _native.merge(checked, rows, limit, n_items, indptr, items, sources, members, before, threads)
    if bad >= 0:
        raise ShapeError(f"lists[{bad}]: expected items below {n_items}, got {int(checked[bad].max())}")
    return indptr, items[: indptr[-1]], sources[: indptr[-1]]
