"""The door to the ALS kernels: solves of one side of a factorisation given the other.

Stands on floor 1. In: factors `(n, width)` float32 whose width is a multiple of 16 (zeros beyond the real factor
count), ragged entries. Out: arrays of the same layout. Every answer is the same for any `threads`, bit for bit.

Why the eigenbasis: with G = Y^T Y = Q D Q^T and Y replaced by Y Q, the normal equations of a row read
(alpha_0 D + ridge + Z^T C Z) x = Z^T C p, Z being the rows of its own entries. The dense d x d term is gone, so a
conjugate-gradient step costs 4 n d instead of 2 d^2 + 4 n d, and a row with few entries has a small dual (n x n).
Dot products do not notice a rotation of both sides.
"""

import mmap
import threading
from typing import Literal

import numpy as np
from threadpoolctl import ThreadpoolController

from recengine._native import als as native
from recengine.errors import ShapeError
from recengine.types import F32, F64, I32, I64, Mask

__all__ = (
    "SMALLEST_CONFIDENCE",
    "Objective",
    "blank",
    "eigenbasis",
    "exact_rows",
    "fold_in",
    "gram",
    "padded",
    "rotate",
    "solve",
)

SMALLEST_CONFIDENCE = 0.001
LANE = 16
HUGE_PAGE = 2 << 20
WORK_OF_A_THREAD = 100_000_000
"""Multiply-adds, about 2 ms. A further thread for less wins little, and loses a time slice wherever the cores are busy:
on a small data set two threads took twice as long as one."""
_BLAS = ThreadpoolController()
_BLAS_LIMITED = threading.Lock()


class Objective:
    """What an entry and a row weigh (Rendle, Krichene, Zhang, Koren 2021, "Revisiting iALS", eq. 4 and section 4.2).

    Parameters
    ----------
    confidence : an entry of weight w > 0 has confidence max(1 + confidence * (w - 1), 0.001); one of w < 0 has
        confidence |w| (0.001 at least) and preference 0.
    regularization : lambda; a row of n entries is regularised by lambda * (n + unseen) ** exponent.
    unseen : alpha_0 * rows of the fixed side.
    exponent : nu.
    """

    __slots__ = ("confidence", "exponent", "regularization", "unseen")

    def __init__(self, confidence: float, regularization: float, unseen: float, exponent: float) -> None:
        self.confidence = confidence
        self.regularization = regularization
        self.unseen = unseen
        self.exponent = exponent


def padded(factors: int) -> int:
    """Round a factor count up to the width that the kernels want."""
    return -(-factors // LANE) * LANE


def blank(rows: int, width: int) -> F32:
    """Allocate zeros, float32 (rows, width), on huge pages where Linux offers them and the size is worth it.

    Why: a half-step reads rows of the fixed side at random; with 4 KiB pages each of them also waits for its address to
    be translated, which was 10 to 20 % of a solve.
    """
    size = rows * width * 4
    if size < 2 * HUGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.zeros((rows, width), dtype=np.float32)
    pages = mmap.mmap(-1, size + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        pages.madvise(mmap.MADV_HUGEPAGE)
    except OSError:  # a kernel built without them: plain pages do, slower
        return np.zeros((rows, width), dtype=np.float32)
    whole = np.frombuffer(pages, dtype=np.uint8)
    start = -whole.ctypes.data % HUGE_PAGE
    return whole[start : start + size].view(np.float32).reshape(rows, width)


def eigenbasis(symmetric: F64) -> tuple[F64, F32]:
    """Decompose a symmetric matrix, on one thread: eigenvalues (width,) rising, eigenvectors (width, width) as columns.

    Why one thread: at these sizes it takes 0.4 ms (64) to 6 ms (256); OpenBLAS' threads wait for each other by
    spinning, which took up to 0.7 s where the cores were busy. The lock keeps overlapping calls from restoring each
    other's limit.
    """
    with _BLAS_LIMITED, _BLAS.limit(limits=1, user_api="blas"):
        values, basis = np.linalg.eigh(symmetric)
    return values, basis.astype(np.float32)


def gram(factors: F32, *, threads: int = 1) -> F64:
    """Compute F^T F, float64 (width, width), of `factors` float32 (n, width).

    Rows are summed by 256 in float32, then in float64 in a fixed number of chunks. Cost: n * width^2 flops.

    Raises
    ------
    ShapeError : `factors` is not (n, 16 k) float32.
    """
    factors = _factors("factors", factors)
    width = factors.shape[1]
    sums = np.zeros((16 if width <= 512 else 4, width, width))
    native.gram(factors, sums, _team(threads, len(factors) * width * width))
    upper = np.triu(sums.sum(axis=0))
    return np.asarray(upper + np.triu(upper, 1).T, dtype=np.float64)


def rotate(factors: F32, basis: F32, rows: I32 | None = None, *, threads: int = 1) -> None:
    """Replace `factors[r]` by `factors[r] @ basis` for all r, or for those in `rows` (int32), in place.

    Cost: 2 * rows * width^2 flops.

    Raises
    ------
    ShapeError : `factors` is not a writable C-order (n, 16 k) float32 array, `basis` is not (width, width) float32, or
        `rows` points outside.
    """
    width = _factors("factors", factors, out=True).shape[1]
    if basis.shape != (width, width) or basis.dtype != np.float32:
        raise ShapeError(f"basis: expected float32 ({width}, {width}), got {basis.dtype} {basis.shape}")
    listed = np.arange(len(factors), dtype=np.int32) if rows is None else np.ascontiguousarray(rows, dtype=np.int32)
    if len(listed) and not 0 <= listed.min() <= listed.max() < len(factors):
        raise ShapeError(f"rows: expected 0..{len(factors) - 1}, got {listed.min()}..{listed.max()}")
    native.rotate(factors, listed, np.ascontiguousarray(basis), _team(threads, len(listed) * width * width))


def exact_rows(lengths: I64, width: int, steps: int, solver: Literal["auto", "cg", "exact"]) -> Mask:
    """Choose the rows to solve exactly, uint8 (n,): all, none, or (`auto`) where that is cheaper than `steps` of CG.

    The costs are cycles, measured on Zen 4; a CG row also pays for the rotation of its start.
    """
    if solver != "auto":
        return np.full(len(lengths), solver == "exact", dtype=np.uint8)
    n = np.asarray(lengths, dtype=np.float64)
    cg = 700.0 + (2 * steps + 1) * n * (width / 16 + 6) + width * width / 16
    dual = 0.04 * n * n * width + 0.06 * n**3 + 285.0 * n
    primal = 0.075 * n * width**2 + 0.0625 * width**3
    return np.where(n <= width, dual <= cg, primal <= cg).astype(np.uint8)


def solve(
    fixed: F32,
    indptr: I64,
    items: I32,
    weights: F32,
    diag: F32,
    objective: Objective,
    out: F32,
    *,
    exact: Mask,
    steps: int = 3,
    order: I32 | None = None,
    threads: int = 1,
) -> None:
    """Solve every row of one side into `out`, given the other.

    Parameters
    ----------
    fixed : (m, width), in the eigenbasis of its Gram matrix.
    indptr, items, weights : row r has `items[indptr[r]:indptr[r + 1]]` in 0..m-1 with float32 weights, not 0.
    diag : (width,) alpha_0 * the eigenvalues.
    out : (n, width), written; where not `exact[r]` also the start of conjugate gradients.
    order : rows in the order of work (int32); long rows first balance threads. None = as they stand.

    Cost: (steps + 1.5) * 4 * entries * width flops by CG.

    Raises
    ------
    ShapeError : an array has a wrong shape or dtype.
    """
    fixed, indptr, items, weights, diag = _entries(fixed, indptr, items, weights, diag)
    n = len(indptr) - 1
    if _factors("out", out, out=True).shape != (n, fixed.shape[1]):
        raise ShapeError(f"out: expected ({n}, {fixed.shape[1]}), got {out.shape}")
    if exact.shape != (n,):
        raise ShapeError(f"exact: expected ({n},), got {exact.shape}")
    order = np.arange(n, dtype=np.int32) if order is None else np.ascontiguousarray(order, dtype=np.int32)
    exact = np.ascontiguousarray(exact, dtype=np.uint8)
    o = objective
    sound = native.solve(
        fixed, indptr, items, weights, order, exact, diag, o.confidence, o.regularization, o.unseen, o.exponent,
        out, steps, 0, False, _team(threads, 4 * (steps + 2) * fixed.shape[1] * len(items)),
    )  # fmt: skip
    if not sound:
        raise ShapeError(f"indptr: expected a rising row of 0 .. {len(items)}, and order in 0 .. {n - 1}")


def fold_in(
    fixed: F32, indptr: I64, items: I32, weights: F32, diag: F32, objective: Objective, *, threads: int = 1
) -> F32:
    """Compute the factors of new or changed rows exactly, float32 (B, width).

    Arguments as in `solve`. Entries without a factor (`fixed` is NaN there, or the row is beyond it) are left out; a
    row that keeps no positive entry becomes NaN. Dual (n x n) for n <= width, else primal; one step of iterative
    refinement (Wilkinson 1963). Cost of a row: n^2 * width + n^3 / 3 flops in the dual.

    Raises
    ------
    ShapeError : an array has a wrong shape or dtype.
    """
    fixed, indptr, items, weights, diag = _entries(fixed, indptr, items, weights, diag)
    n = len(indptr) - 1
    out = np.empty((n, fixed.shape[1]), dtype=np.float32)
    if threads > 1:
        lengths = np.diff(indptr)
        threads = _team(threads, int(lengths @ np.minimum(lengths, fixed.shape[1])) * fixed.shape[1])
    o = objective
    sound = native.solve(
        fixed, indptr, items, weights, np.arange(n, dtype=np.int32), np.ones(n, dtype=np.uint8), diag,
        o.confidence, o.regularization, o.unseen, o.exponent, out, 0, 1, True, max(threads, 1),
    )  # fmt: skip
    if not sound:
        raise ShapeError(f"indptr: expected a rising row of 0 .. {len(items)}")
    return out


def _team(threads: int, work: int) -> int:
    """Say how many threads `work` multiply-adds are worth, at most `threads`; no answer depends on it."""
    return max(1, min(threads, 1 + work // WORK_OF_A_THREAD))


def _factors(name: str, array: F32, *, out: bool = False) -> F32:
    if array.ndim != 2 or array.dtype != np.float32 or array.shape[1] == 0 or array.shape[1] % LANE:
        raise ShapeError(f"{name}: expected float32 (n, 16 k), got {array.dtype} {array.shape}")
    if out and not (array.flags.c_contiguous and array.flags.writeable):
        raise ShapeError(f"{name}: expected a writable C-order array")
    return np.ascontiguousarray(array)


def _entries(fixed: F32, indptr: I64, items: I32, weights: F32, diag: F32) -> tuple[F32, I64, I32, F32, F32]:
    fixed = _factors("fixed", fixed)
    if diag.shape != (fixed.shape[1],):
        raise ShapeError(f"diag: expected ({fixed.shape[1]},), got {diag.shape}")
    if indptr.ndim != 1 or len(indptr) == 0 or indptr[0] != 0 or indptr[-1] != len(items):
        raise ShapeError(f"indptr: expected 0 .. {len(items)}, got shape {indptr.shape}")
    if items.shape != weights.shape or items.ndim != 1:
        raise ShapeError(f"weights: expected the shape of items {items.shape}, got {weights.shape}")
    return (
        fixed,
        np.ascontiguousarray(indptr, dtype=np.int64),
        np.ascontiguousarray(items, dtype=np.int32),
        np.ascontiguousarray(weights, dtype=np.float32),
        np.ascontiguousarray(diag, dtype=np.float32),
    )
