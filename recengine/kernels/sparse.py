"""The door to sparse rows times dense matrices, and to non-negative least squares of many rows at once.

Stands on floor 1. In: ragged entries with weights, dense float32 `(m, width)` whose width is a multiple of 16. Out: one
row of `width` values a ragged row. Rows do not depend on one another, and each adds its entries in their order: the
same bits for any `threads` and any batch.
"""

import numpy as np

from recengine._native import sparse as _native
from recengine.errors import ShapeError
from recengine.kernels.arrays import array, bad_indptr, positive
from recengine.types import F32, I32, I64

__all__ = ("nonnegative", "product")

_F32, _I64, _I32 = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.int32)
LANE = 16
WIDEST = 4096
WORK_OF_A_THREAD = 10_000_000
"""Multiply-adds, about 2 ms: a further thread for less loses a time slice wherever the cores are busy."""


def product(dense: F32, indptr: I64, items: I32, weights: F32, *, cold_nan: bool = False, threads: int = 1) -> F32:
    """Multiply sparse rows by `dense`: row b is the sum of `weights[j] * dense[items[j]]` over its entries.

    Parameters
    ----------
    dense : (m, 16 k) float32; entries whose row starts with NaN, or lies outside, are left out.
    indptr, items, weights : (B + 1,) int64; (N,) int32 and float32.
    cold_nan : rows that keep no entry of positive weight become NaN, not 0.

    Cost: N * width multiply-adds, bound by the N * width * 4 bytes that are gathered.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype, or `indptr` does not fit.
    """
    dense = _wide("dense", array("dense", dense, _F32, None, None))
    indptr = array("indptr", indptr, _I64, None)
    items = array("items", items, _I32, None)
    weights = array("weights", weights, _F32, len(items))
    out = np.empty((max(len(indptr) - 1, 0), dense.shape[1]), np.float32)
    team = _team(positive("threads", threads), len(items) * dense.shape[1])
    bad = _native.product(dense, indptr, items, weights, cold_nan, out, team)
    if bad >= 0:
        raise bad_indptr(bad)
    return out


def nonnegative(
    gram: F32,
    targets: F32,
    out: F32,
    *,
    l1: float = 0.0,
    l2: float = 0.0,
    sweeps: int = 200,
    tolerance: float = 1e-6,
    threads: int = 1,
) -> None:
    """Lower x G x / 2 - c x + l1 sum(x) + l2 x x / 2 over x >= 0, for every row c of `targets`, in place.

    Coordinate descent (Hsieh and Dhillon 2011, "Fast coordinate descent methods with variable selection for NMF",
    section 3.1, in cyclic order): x_s <- max(0, x_s - gradient_s / (G_ss + l2)), so HALS (Cichocki and Phan 2009).

    Parameters
    ----------
    gram : (width, width) float32, symmetric and positive semidefinite; a coordinate with G_ss + l2 = 0 becomes 0.
    targets : (B, width) float32; a row with NaN becomes NaN.
    out : (B, width) float32, the start, >= 0; overwritten.
    sweeps : most passes over the coordinates of a row.
    tolerance : a row ends when no coordinate moved by more than this share of the largest one.

    Cost of a sweep of a row: width^2 multiply-adds at most; coordinates that stay at 0 are free.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype.
    """
    gram = _wide("gram", array("gram", gram, _F32, None, None))
    if gram.shape[0] != gram.shape[1] or gram.shape[0] > WIDEST:
        raise ShapeError(f"gram: expected float32 (w, w), w <= {WIDEST}, got {gram.shape}")
    targets = array("targets", targets, _F32, None, len(gram))
    if out.dtype != _F32 or out.shape != targets.shape or not (out.flags.c_contiguous and out.flags.writeable):
        raise ShapeError(f"out: expected writable float32 {targets.shape} in C order, got {out.dtype} {out.shape}")
    threads, sweeps = positive("threads", threads), positive("sweeps", sweeps)
    team = _team(threads, len(targets) * len(gram) ** 2)
    _native.nonnegative(gram, targets, l1, l2, sweeps, tolerance, out, team)


def _wide(name: str, value: F32) -> F32:
    if value.shape[1] == 0 or value.shape[1] % LANE:
        raise ShapeError(f"{name}: expected a width that is a multiple of {LANE}, got {value.shape}")
    return value


def _team(threads: int, work: int) -> int:
    """Say how many threads `work` multiply-adds are worth, at most `threads`; no answer depends on it."""
    return max(1, min(threads, 1 + work // WORK_OF_A_THREAD))
