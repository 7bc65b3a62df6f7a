"""The door to the kernels of item-item ridge regression: for building EASE, and for answering from dense rows.

On the offline spine: weighted histories come in, weights of items for items go out. On the online spine: entries of B
histories come in, sums of dense rows go out. Sparse rows are `kernels.knn.Csr`; columns of `users` and of `items` must
be in range, as `algorithms/similarity.py` makes them (checked once here).
"""

import numpy as np

from recengine._native import ridge as _native
from recengine.errors import ShapeError
from recengine.kernels import array, bad_indptr, positive
from recengine.kernels.knn import Csr
from recengine.types import F32, F64, I32, I64

__all__ = ("gram", "regress", "sums", "sums_at", "weights")

_F32, _F64, _I32, _I64 = (np.dtype(t) for t in (np.float32, np.float64, np.int32, np.int64))


def gram(users: Csr, items: Csr, *, threads: int = 1) -> F64:
    """Multiply a sparse matrix's transpose by itself: G = X^T X, float64 (n_items, n_items), both triangles.

    Parameters
    ----------
    users : X by rows; columns < items.n.
    items : X by columns: for every item its users and the same values.

    Cost: one multiply-add for every pair of items in every history, into one row of G at a time.
    """
    users, items = _pair(users, items)
    out = np.zeros((items.n, items.n))
    _native.gram(*users, *items, out, positive("threads", threads))
    return out


def weights(inverse: F64, *, threads: int = 1) -> F32:
    """Turn P = (X^T X + lambda I)^-1 into B = I - P / diag(P): B[i, j] = -P[i, j] / P[j, j], 0 on the diagonal.

    Steck 2019, equation 8. Only the upper triangle of `inverse` (float64, (n, n)) is read, as LAPACK leaves it.
    """
    inverse = array("inverse", inverse, _F64, None, None)
    if inverse.shape[0] != inverse.shape[1]:
        raise ShapeError(f"inverse: expected a square matrix, got {inverse.shape}")
    out = np.empty(inverse.shape, np.float32)
    _native.weights(inverse, out, positive("threads", threads))
    return out


def regress(users: Csr, items: Csr, targets: I32, near: I32, ridge: float, *, threads: int = 1) -> tuple[F32, int]:
    """Regress each target item on a few others: b = (G_NN + ridge I)^-1 G_Nj, with G = X^T X.

    This is column j of EASE where N is all other items; with fewer it is the best that these can do (Steck 2019,
    section 3.1, in its sparse form; Ning and Karypis 2011, section 4.3).

    Parameters
    ----------
    users, items : X by rows and by columns, as in `gram`.
    targets : int32 (Q,).
    near : int32 (Q, k), a target's N in any order, unique, without the target itself; -1 pads at the end.
    ridge : > 0, added to the diagonal.

    Returns
    -------
    float32 (Q, k): the weight of `near[q, a]` for target q, NaN where `near` is -1 and where a small matrix was not
    positive definite to float64; and the number of such targets.

    Cost: for every target one look-up for each entry in the histories of its N's users, and k^3 / 3 multiply-adds.
    """
    users, items = _pair(users, items)
    targets = array("targets", targets, _I32, None)
    near = array("near", near, _I32, len(targets), None)
    threads, k = positive("threads", threads), positive("k", near.shape[1])
    for name, rows in (("targets", targets), ("near", near)):
        if rows.size and not (rows.min() >= (-1 if name == "near" else 0) and rows.max() < items.n):
            raise ShapeError(f"{name}: expected items of 0..{items.n - 1}, got {rows.min()}..{rows.max()}")
    out = np.empty(near.shape, np.float32)
    matrices, places = np.empty((threads, (k + 1) * (k + 1))), np.zeros((threads, max(items.n, 1)), np.int32)
    failed = _native.regress(*users, *items, targets, near, ridge, matrices, places, out, threads)
    return out, failed


def sums(entries: Csr, matrix: F32, *, threads: int = 1) -> F32:
    """Add the weighted dense rows of `matrix` (n, width) that each row of `entries` names; float32 (B, width).

    Entries out of range or with a value that is not > 0 count nothing. Cost: width multiply-adds an entry.
    """
    entries, matrix = _entries(entries), array("matrix", matrix, _F32, None, None)
    out = np.zeros((entries.n, matrix.shape[1]), np.float32)
    _native.sums(*entries, matrix, out, positive("threads", threads))
    return out


def sums_at(entries: Csr, matrix: F32, indptr: I64, cols: I32, *, threads: int = 1) -> F32:
    """Look the numbers of `sums` up, bit-equal to it: row b asks for `cols[indptr[b]:indptr[b + 1]]`.

    Returns float32 (len(cols),), NaN where a column is out of range.
    """
    entries, matrix = _entries(entries), array("matrix", matrix, _F32, None, None)
    indptr, cols = array("indptr", indptr, _I64, entries.n + 1), array("cols", cols, _I32, None)
    _refuse("indptr", indptr, len(cols))
    out = np.empty(len(cols), np.float32)
    _native.sums_at(*entries, matrix, indptr, cols, out, positive("threads", threads))
    return out


def _pair(users: Csr, items: Csr) -> tuple[Csr, Csr]:
    users, items = _inside("users", users, items.n), _inside("items", items, users.n)
    if len(users.cols) != len(items.cols):
        raise ShapeError(f"items: expected the {len(users.cols)} entries of users, got {len(items.cols)}")
    return users, items


def _inside(name: str, csr: Csr, n_cols: int) -> Csr:
    csr = _checked(name, csr)
    _refuse(f"{name}.indptr", csr.indptr, len(csr.cols))
    if len(csr.cols) and not (csr.cols.min() >= 0 and csr.cols.max() < n_cols):
        raise ShapeError(f"{name}.cols: expected 0..{n_cols - 1}, got {csr.cols.min()}..{csr.cols.max()}")
    return csr


def _entries(csr: Csr) -> Csr:
    """Check rows whose columns may be anything, and which may be a part of their flat arrays."""
    csr = _checked("entries", csr)
    low, high = int(csr.indptr[0]), int(csr.indptr[-1])
    if not 0 <= low <= high <= len(csr.cols) or (csr.n > 1 and bool((csr.indptr[1:] < csr.indptr[:-1]).any())):
        raise ShapeError(f"entries.indptr: expected offsets that rise within 0..{len(csr.cols)}, got {low}..{high}")
    return csr


def _checked(name: str, csr: Csr) -> Csr:
    indptr = array(f"{name}.indptr", csr.indptr, _I64, None)
    cols = array(f"{name}.cols", csr.cols, _I32, None)
    if len(indptr) == 0:
        raise ShapeError(f"{name}.indptr: expected at least one offset")
    return Csr(indptr, cols, array(f"{name}.values", csr.values, _F32, len(cols)))


def _refuse(name: str, indptr: I64, size: int) -> None:
    falls = np.flatnonzero(np.diff(indptr) < 0)
    if len(falls):
        raise bad_indptr(int(falls[0]))
    if indptr[0] != 0 or indptr[-1] != size:
        raise ShapeError(f"{name}: expected it to run from 0 to {size}, got {indptr[0]} to {indptr[-1]}")
