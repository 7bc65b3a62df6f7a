"""The door to the nearest-neighbour kernels: weighted sums of sparse rows, for building and for serving.

On both spines, under `algorithms/knn.py`: in come CSR arrays (int64 indptr, int32 columns, float32 values > 0), out
come neighbours or scores. Each function is one weighted sum of rows of a CSR matrix an answer; entries whose row is
out of range or whose weight is not > 0 are skipped, so histories may hold dislikes and items that are newer than the
model.

Why scratch is kept between calls: the accumulator must be all zeros, and the kernels leave it so; zeroing it anew
would cost more than most requests. It is kept once a thread, for all models, and grows to the largest.
"""

import threading
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from recengine._native import knn as native
from recengine.errors import ShapeError
from recengine.kernels import array, bad_indptr, positive
from recengine.types import F32, I32, I64, Mask, TopN

__all__ = ("Csr", "Renewed", "Weighting", "neighbors", "sum_at", "sum_top", "unit_rows")

Weighting: TypeAlias = Literal["plain", "tfidf", "bm25"]
SCHEMES: Final = {"plain": 0, "tfidf": 1, "bm25": 2}
_F32, _I32, _I64, _U8 = (np.dtype(t) for t in (np.float32, np.int32, np.int64, np.uint8))
SORT_ROOM: Final = 128
"""Keys at the end of the key buffer that the sort uses; as in `knn.pyx`."""


class Csr(NamedTuple):
    """Sparse rows: `indptr` int64 (rows + 1,), `cols` int32 (nnz,) unique within a row, `values` float32 (nnz,)."""

    indptr: I64
    cols: I32
    values: F32

    @property
    def n(self) -> int:
        """The number of rows."""
        return len(self.indptr) - 1

    def row(self, r: int) -> tuple[I32, F32]:
        """Columns and values of row r."""
        here = slice(int(self.indptr[r]), int(self.indptr[r + 1]))
        return self.cols[here], self.values[here]


class Renewed(NamedTuple):
    """Sparse rows of which some have been found anew: those lie in `over`, and the others where they lay."""

    base: Csr
    rows: I32
    """(over.n,) int32, unique: the row that each of `over` stands for."""
    place: I32
    """(n,) int32: the row of `over` that stands for each row, -1 = that of `base`, or none beyond its end."""
    over: Csr

    @classmethod
    def of(cls, base: Csr, rows: I32, over: Csr, n: int) -> "Renewed":
        """Lay `over` over `base`, of n rows together."""
        place = np.full(n, -1, np.int32)
        place[rows] = np.arange(len(rows), dtype=np.int32)
        return cls(base, rows, place, over)

    @property
    def n(self) -> int:
        """The number of rows."""
        return len(self.place)

    def row(self, r: int) -> tuple[I32, F32]:
        """Columns and values of row r."""
        if self.place[r] >= 0:
            return self.over.row(int(self.place[r]))
        return self.base.row(r) if r < self.base.n else (self.over.cols[:0], self.over.values[:0])


class _Scratch(threading.local):
    """What the kernels write on: `sums` all zeros between calls."""

    def __init__(self) -> None:
        self.sums = np.zeros(0, np.float32)
        self.keys = np.empty(0, np.int64)

    def views(self, threads: int, n_cols: int, k: int) -> tuple[F32, I64]:
        """Return (threads, n_cols) sums and (threads, room) keys, grown where too small."""
        room = max(2 * k, k + 256) + SORT_ROOM
        if self.sums.size < threads * n_cols:
            self.sums = np.zeros(threads * n_cols, np.float32)
        if self.keys.size < threads * room:
            self.keys = np.empty(threads * room, np.int64)
        return (
            self.sums[: threads * n_cols].reshape(threads, n_cols),
            self.keys[: threads * room].reshape(threads, room),
        )


_scratch = _Scratch()
_NOTHING = (np.empty(0, np.int32), np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
"""What a matrix of one layer has over it."""


def unit_rows(rows: Csr, rarity: F32, *, weighting: Weighting, average: float) -> tuple[F32, F32]:
    """Weigh the entries of every row and scale the row to length 1.

    An entry of weight w > 0 in column c becomes t(w) * rarity[c]: t is w (plain), sqrt(w) (TF-IDF, after Salton and
    Buckley 1988), or w (k1 + 1) / (w + k1 (1 - b + b L)) with k1 = 1.2, b = 0.75 and L the row's sum of weights over
    `average` (BM25, Robertson et al. 1994). Entries with w <= 0 or a column >= len(rarity) become 0.

    Parameters
    ----------
    rows : any number of rows; `values` are the weights.
    rarity : (n_cols,) float32 > 0, how much a column says.
    average : mean sum of weights of a row, > 0.

    Returns
    -------
    values float32 (nnz,) of unit rows, norms float32 (rows,) from before the scaling (0 where a row has no usable
    entry).
    """
    rows = _csr("rows", rows)
    rarity = array("rarity", rarity, _F32, None)
    values, norms = np.zeros(len(rows.cols), np.float32), np.empty(rows.n, np.float32)
    _refuse(native.unit_rows(*rows, rarity, SCHEMES[weighting], average, values, norms))
    return values, norms


def neighbors(
    rows: Csr, own: I32, norms: F32, postings: Csr, post_norms: F32, k: int, *, shrinkage: float = 0.0, threads: int = 1
) -> TopN:
    """Find the k most similar members of every row: dot / (norm * norm' + shrinkage), > 0, ties to the lower member.

    Sarwar et al. 2001, section 3.1; shrinkage after Bell and Koren 2007. Cost: one multiply-add for each entry of
    each posting list of a row's columns, and about one comparison for each member met.

    Parameters
    ----------
    rows : Q rows of length 1 (`unit_rows`); columns >= postings.n are skipped.
    own : int32 (Q,), the member that a row itself is and that is left out; -1 = none.
    norms : float32 (Q,), the rows' norms before scaling.
    postings : for every column the members that have it and their unit values (the members' rows transposed).
    post_norms : float32 (members,), likewise.
    k : >= 1.

    Returns
    -------
    members (Q, k) and similarities (Q, k), best first, padded with -1 and NaN.
    """
    rows, postings = _csr("rows", rows), _csr("postings", postings)
    own, norms = array("own", own, _I32, rows.n), array("norms", norms, _F32, rows.n)
    post_norms = array("post_norms", post_norms, _F32, None)
    threads = positive("threads", threads)
    best = _empty(rows.n, positive("k", k))
    scratch = _scratch.views(threads, len(post_norms), k)
    found = (best.items, best.scores)
    _refuse(native.neighbors(*rows, own, norms, *postings, post_norms, shrinkage, *scratch, *found, threads))
    return best


def sum_top(entries: Csr, matrix: Csr | Renewed, n_cols: int, mask: Mask, n: int, *, threads: int = 1) -> TopN:
    """Pick the n best columns of every row's `sum of value * matrix[col]`, among those with mask 1 and a sum > 0.

    Parameters
    ----------
    entries : B rows; `cols` name rows of `matrix`, `values` weigh them.
    matrix : columns < n_cols, values >= 0.
    mask : (B, >= n_cols) uint8; what lies beyond n_cols is never picked.

    Returns
    -------
    columns (B, n) and sums (B, n), best first, ties to the lower column, padded with -1 and NaN.
    """
    entries, layers = _csr("entries", entries), _layers(matrix)
    if mask.ndim != 2 or mask.shape[0] != entries.n or mask.shape[1] < n_cols or mask.dtype != np.uint8:
        raise ShapeError(f"mask: expected uint8 ({entries.n}, >= {n_cols}), got {mask.dtype} {mask.shape}")
    threads = positive("threads", threads)
    best = _empty(entries.n, positive("n", n))
    scratch, found = _scratch.views(threads, n_cols, n), (best.items, best.scores)
    _refuse(native.sum_top(*entries, *layers, np.ascontiguousarray(mask), *scratch, *found, threads))
    return best


def sum_at(
    entries: Csr, matrix: Csr | Renewed, known: Mask, indptr: I64, cols: I32, *, threads: int = 1
) -> F32:
    """Look the sums of `sum_top` up at given columns, bit-equal to it.

    Parameters
    ----------
    entries, matrix : as in `sum_top`.
    known : uint8 (n_cols,); columns that are not known, or are out of range, get NaN.
    indptr, cols : row b asks for `cols[indptr[b]:indptr[b + 1]]`.

    Returns
    -------
    float32 (len(cols),); 0.0 where nothing overlaps.
    """
    entries, layers = _csr("entries", entries), _layers(matrix)
    known = array("known", known, _U8, None)
    indptr, cols = array("indptr", indptr, _I64, entries.n + 1), array("cols", cols, _I32, None)
    if indptr[0] != 0 or indptr[-1] != len(cols):
        raise ShapeError(f"indptr: expected it to run from 0 to {len(cols)}, got {indptr[0]} to {indptr[-1]}")
    threads = positive("threads", threads)
    sums, _ = _scratch.views(threads, len(known), 1)
    out = np.empty(len(cols), np.float32)
    _refuse(native.sum_at(*entries, *layers, known, indptr, cols, sums, out, threads))
    return out


def _csr(name: str, csr: Csr) -> Csr:
    indptr = array(f"{name}.indptr", csr.indptr, _I64, None)
    cols = array(f"{name}.cols", csr.cols, _I32, None)
    values = array(f"{name}.values", csr.values, _F32, len(cols))
    if len(indptr) == 0 or indptr[0] < 0 or indptr[-1] > len(cols):
        raise ShapeError(f"{name}.indptr: expected offsets within 0..{len(cols)}, got {indptr[:1]}..{indptr[-1:]}")
    return Csr(indptr, cols, values)


def _layers(matrix: Csr | Renewed) -> tuple[I64, I32, F32, I32, I64, I32, F32]:
    """Lay a matrix out as the kernels take it: three arrays of the base, places, and three of what is over it."""
    if isinstance(matrix, Csr):
        return (*_csr("matrix", matrix), *_NOTHING)
    place = array("matrix.place", matrix.place, _I32, None)
    return (*_csr("matrix.base", matrix.base), place, *_csr("matrix.over", matrix.over))


def _refuse(row: int) -> None:
    if row >= 0:
        raise bad_indptr(row)


def _empty(rows: int, n: int) -> TopN:
    return TopN(np.empty((rows, n), np.int32), np.empty((rows, n), np.float32))
