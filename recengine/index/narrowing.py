"""What a filter leaves is scored directly where it is little; where it is much, an index looks for it.

In: the search of an approximate index, queries, and a mask. Out: `TopN`. Why: an index that drops what is masked after
it has searched loses recall as the filter gets narrow, and a narrow filter is cheap to answer exactly.
"""

from collections.abc import Callable

import numpy as np

from recengine.errors import ShapeError
from recengine.kernels import array, positive, scan
from recengine.types import F32, I32, Mask, TopN

__all__ = ("narrow", "rescored")


def narrow(
    wide: Callable[[F32, Mask | None], TopN],
    queries: F32,
    rows: F32,
    n: int,
    mask: Mask | None,
    few: int,
    *,
    threads: int = 1,
) -> TopN:
    """Answer queries whose mask allows at most `few` rows from the rows themselves, the others by `wide`.

    Raises
    ------
    ShapeError : `mask` does not fit.
    """
    threads = positive("threads", threads)
    if mask is None:
        return wide(queries, None)
    mask = array("mask", mask, np.dtype(np.uint8), len(queries), None)
    if mask.shape[1] < len(rows):
        raise ShapeError(f"mask: expected uint8 ({len(queries)}, at least {len(rows)}), got uint8 {mask.shape}")
    within = mask[:, : len(rows)]
    allowed = np.array([np.count_nonzero(row.view(np.bool_)) for row in within])
    small = allowed <= max(few, n)
    if not small.any():
        return wide(queries, mask)
    items = np.full((len(queries), n), -1, np.int32)
    scores = np.full((len(queries), n), np.nan, np.float32)
    if not small.all():
        found = wide(np.ascontiguousarray(queries[~small]), np.ascontiguousarray(mask[~small]))
        items[~small], scores[~small] = found.items, found.scores
    for row in np.flatnonzero(small):
        given = np.flatnonzero(within[row].view(np.bool_)).astype(np.int32)
        indptr = np.array([0, len(given)])
        found = scan.rescore(queries[row : row + 1], rows, indptr, given, n)
        items[row], scores[row] = found.items[0], found.scores[0]
    return TopN(items, scores)


def rescored(
    queries: F32, rows: F32, candidates: I32 | None, n: int, mask: Mask | None = None, *, threads: int = 1
) -> TopN:
    """Put candidates int32 (B, m), -1 = none, in their true order and keep the n best; None = every row is one."""
    if candidates is None:
        given = np.tile(np.arange(len(rows), dtype=np.int32), len(queries))
        width = len(rows)
    else:
        given, width = candidates.reshape(-1), candidates.shape[1]
    indptr = np.arange(len(queries) + 1, dtype=np.int64) * width
    return scan.rescore(queries, rows, indptr, given, n, mask, threads=threads)
