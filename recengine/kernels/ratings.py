"""The door to gradient steps over explicit ratings.

Stands on floor 1. In: ratings sorted into cells of user block x item block, and both sides' vectors. Out: the vectors
after one pass. Cells of one diagonal share no user and no item, so they can be passed at once: the same bits for any
`threads`, since the order within a cell, and of the diagonals, is fixed.
"""

import numpy as np

from recengine._native import ratings as _native
from recengine.errors import ShapeError
from recengine.kernels.arrays import array, bad_indptr, positive
from recengine.types import F32, I32, I64

__all__ = ("BLOCKS", "cells", "descend", "width_of")

BLOCKS = 16
"""Blocks of a side: as many threads can work at once."""
LANE = 16
WORK_OF_A_THREAD = 50_000_000
"""Multiply-adds of an epoch, about 1 ms a diagonal: all threads meet after each of them, and where the cores are busy
they wait for one another (90,000 ratings: 20 s with two threads, 0.4 s with one)."""
_F32, _I32, _I64 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64)


def width_of(factors: int) -> int:
    """Say how long a row is: the factors, two columns for the biases, and zeros up to a multiple of 16."""
    return -(-(factors + 2) // LANE) * LANE


def cells(users: I32, items: I32, seed: int) -> tuple[I64, I64]:
    """Order ratings for `descend`: shuffled by `seed`, then by cell.

    Returns
    -------
    the order, int64 (n,), and where each cell begins, int64 (BLOCKS^2 + 1,).
    """
    shuffled = np.random.default_rng(seed).permutation(len(users))
    cell = (users[shuffled] % BLOCKS) * BLOCKS + items[shuffled] % BLOCKS
    order = shuffled[np.argsort(cell, kind="stable")]
    return order, np.concatenate(([0], np.cumsum(np.bincount(cell, minlength=BLOCKS**2)))).astype(np.int64)


def descend(
    users: I32,
    items: I32,
    values: F32,
    begins: I64,
    x: F32,
    y: F32,
    *,
    factors: int,
    mean: float,
    rate: float,
    ridge: float,
    threads: int = 1,
) -> None:
    """Take one gradient step a rating, in place (Funk 2006; Koren, Bell, Volinsky 2009, eq. 5).

    e = r - mean - x_u . y_i; x_u += rate (e y_i - ridge x_u), and y_i likewise, both from what stood before the step.

    Parameters
    ----------
    users, items, values : (n,) int32, int32 and float32, in the order of `cells`.
    begins : from `cells`.
    x, y : float32 (n_users, width) and (n_items, width), width = `width_of(factors)`: the factors, then (bias, 1) of a
        user and (1, bias) of an item, then zeros.

    Cost: 3 width multiply-adds a rating.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype, or a row lies outside.
    """
    users, items = array("users", users, _I32, None), array("items", items, _I32, len(users))
    values, begins = array("values", values, _F32, len(users)), array("begins", begins, _I64, BLOCKS**2 + 1)
    if begins[0] != 0 or begins[-1] != len(users) or (np.diff(begins) < 0).any():
        raise bad_indptr(0)
    for name, side, rows in (("x", x, users), ("y", y, items)):
        fits = side.dtype == _F32 and side.ndim == 2 and side.shape[1] == width_of(factors)
        if not (fits and side.flags.c_contiguous and side.flags.writeable):
            raise ShapeError(
                f"{name}: expected writable float32 (n, {width_of(factors)}), got {side.dtype} {side.shape}"
            )
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(side):
            raise ShapeError(f"{name}: expected rows 0..{len(side) - 1}, got {rows.min()}..{rows.max()}")
    team = max(1, min(positive("threads", threads), 1 + len(users) * x.shape[1] // WORK_OF_A_THREAD))
    _native.descend(users, items, values, begins, BLOCKS, factors, mean, rate, ridge, x, y, team)
