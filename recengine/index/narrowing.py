"""What approximate indexes share: rows kept whole, finds scored by them, and what a filter does to both.

In: what an index looks in, queries, and a mask. Out: `TopN`. Why: an index that drops what is masked after it has
searched loses recall as the filter gets narrow, and a narrow filter is cheap to answer exactly; and a filter that hides
the best leaves scores as close together as rough ones can tell, so more of them have to be scored again.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from recengine.errors import ShapeError
from recengine.kernels import array, positive, scan
from recengine.types import F32, I32, Bools, Mask, TopN

__all__ = ("Look", "WholeRows", "narrow", "rescored", "widened")

WORRY = 2.0
"""Standard deviations of the rough scores' error that a row may have been underrated by."""

Look: TypeAlias = Callable[[F32, int, Mask | None], tuple[TopN, Mask]]
"""`look(queries, many, mask)`: candidates with rough scores, best first; and 0 for a query that it cannot look for."""


class WholeRows:
    """An index that scores again, by whole rows, the best of what it finds by less.

    Parameters
    ----------
    rows : (n, d) float32, read-only by convention; NaN rows are never found.
    rerank : rows scored again for each that is wanted.
    """

    def __init__(self, rows: F32, rerank: int) -> None:
        self.rows = rows
        self.rerank = rerank

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.rows)

    @property
    def d(self) -> int:
        """Length of a whole vector."""
        return int(self.rows.shape[1])


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


def widened(
    look: Look, queries: F32, rows: F32, n: int, many: int, mask: Mask | None = None, *, threads: int = 1
) -> TopN:
    """Score the best `many` of what `look` finds again and keep the n best; more where a mask makes it doubtful.

    What `look` cannot look for is answered from all rows.
    """
    items = np.full((len(queries), n), -1, np.int32)
    scores = np.full((len(queries), n), np.nan, np.float32)
    asking, many = np.arange(len(queries)), min(many, len(rows))
    while len(asking):
        some, hidden = queries[asking], None if mask is None else mask[asking]
        found, answered = look(some, many, hidden)
        picked = rescored(some, rows, found.items, n, threads=threads)
        items[asking], scores[asking] = picked.items, picked.scores
        for row in asking[answered == 0]:
            one = slice(row, row + 1)
            exact = rescored(queries[one], rows, None, n, None if mask is None else mask[one])
            items[row], scores[row] = exact.items[0], exact.scores[0]
        if mask is None or many >= len(rows):
            break
        asking, many = asking[_doubtful(some, rows, found, picked) & (answered != 0)], min(4 * many, len(rows))
    return TopN(items, scores)


def _doubtful(queries: F32, rows: F32, found: TopN, picked: TopN) -> Bools:
    """Tell which queries may have missed rows: the last candidate, by rough scores, is within their error of the n-th.

    Recall was measured without a mask, so without one nothing is doubted.
    """
    doubtful = np.zeros(len(queries), np.bool_)
    for row in range(len(queries)):
        given = found.items[row][found.items[row] >= 0]
        if len(given) == found.items.shape[1] and picked.items[row, -1] >= 0:  # else every allowed row was scored
            error = rows[given] @ queries[row] - found.scores[row]
            last = found.scores[row, -1] + error.mean() + WORRY * error.std()
            doubtful[row] = last > picked.scores[row, -1]
    return doubtful
