"""What an increment does to the vectors of ALS: changed users and items are solved again, the others stay.

Stands on floor 3, beside `als.py`, on the offline spine. In: vectors in the eigenbasis of the items' Gram matrix, and
interactions of which only some rows are new. Out: the same, with new rows after the old ones. Three half-steps over
changed rows alone: users against the items as they were, items against all users, users against the final items, so
that the vector of a changed user is what fold-in gives.

Why not more: the others do not move, so a further sweep changes little (Gowalla, 1 % new events: NDCG@20 to the fourth
digit). What the others lack is what the next full training is for.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from recengine.config import Als as AlsConfig
from recengine.errors import TrainingFailed
from recengine.kernels import als as kernel
from recengine.types import F32, F64, I32, I64, Interactions

__all__ = ("Solved", "solved_again")

STEPS = 50
"""Most conjugate-gradient steps; each row stops at float32's end, after about 10."""

Objectives: TypeAlias = Callable[[int], kernel.Objective]
"""What entries and rows weigh, given how many rows of the fixed side have entries."""


class Solved(NamedTuple):
    """Vectors float32 (n_users, width), (n_items, width), NaN rows where there is none, and `als.py`'s spectrum."""

    users: F32
    items: F32
    spectrum: F32
    turn: F64 | None = None
    """float64 (width, width): what took both from the basis of before into this one; None = there was none before."""


def solved_again(
    config: AlsConfig,
    held: Solved,
    unobserved: float,
    objective: Objectives,
    rows: Interactions,
    users: I32,
    items: I32,
    threads: int,
) -> Solved:
    """Solve the rows in `users` and `items` (int32, ascending) for `rows`; nothing of `held` is written to.

    `unobserved` is the weight alpha_0 that `held` was learned with.

    Raises
    ------
    TrainingFailed : a vector is no longer finite.

    Cost: two Gram matrices and two rotations of everything, about 6 (users + items) f^2, and the entries of the changed
    rows.
    """
    lengths, degrees = np.diff(rows.indptr), np.bincount(rows.items, minlength=rows.n_items)
    left, right = _grown(held.users, rows.n_users), _grown(held.items, rows.n_items)
    new = np.arange(len(held.items), rows.n_items)  # an item and a user that know only each other need a start
    # what pads the width comes first, eigenvalues rising: there, a new item would be a direction of its own
    start = np.random.default_rng(len(held.items)).standard_normal((len(new), config.factors), dtype=np.float32)
    right[new, right.shape[1] - config.factors :] = start * np.float32(config.init_std / config.factors**0.5)
    right[degrees == 0] = 0.0
    of_users, of_items = _Rows(config, users, *_taken(rows, users)), _Rows(config, items, *_columns(rows, items))
    with_items, with_users = int(np.count_nonzero(degrees)), int(np.count_nonzero(lengths))

    of_users.solve(right, held.spectrum, objective(with_items), left, threads)
    spectrum, first = _turned(left, right, unobserved, threads)
    of_items.solve(left, spectrum, objective(with_users), right, threads)
    spectrum, second = _turned(right, left, unobserved, threads)
    of_users.solve(right, spectrum, objective(with_items), left, threads)

    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise TrainingFailed("als: the vectors are no longer finite", hint="train in full: `recengine train DIR`")
    left[(lengths == 0) | ~left.any(axis=1)] = np.nan
    right[degrees == 0] = np.nan
    return Solved(left, right, spectrum, first @ second)


class _Rows:
    """The entries of some rows of one side."""

    def __init__(self, config: AlsConfig, rows: I32, indptr: I64, others: I32, weights: F32) -> None:
        self.rows, self.indptr, self.others, self.weights = rows, indptr, others, weights
        self.exact = kernel.exact_rows(np.diff(indptr), kernel.padded(config.factors), STEPS // 5, config.solver)

    def solve(self, fixed: F32, spectrum: F32, objective: kernel.Objective, out: F32, threads: int) -> None:
        """Solve them against `fixed`, which stands in the eigenbasis of its Gram matrix, into `out`."""
        mine = out[self.rows]
        kernel.solve(
            fixed, self.indptr, self.others, self.weights, spectrum, objective, mine,
            exact=self.exact, steps=STEPS, threads=threads,
        )  # fmt: skip
        out[self.rows] = mine


def _turned(fixed: F32, other: F32, unobserved: float, threads: int) -> tuple[F32, F64]:
    """Turn both sides into the eigenbasis of `fixed`; returns alpha_0 * the eigenvalues, and that basis."""
    values, basis = kernel.eigenbasis(kernel.gram(fixed, threads=threads))
    kernel.rotate(fixed, basis, threads=threads)
    kernel.rotate(other, basis, threads=threads)
    return np.asarray(unobserved * np.maximum(values, 0.0), dtype=np.float32), basis.astype(np.float64)


def _grown(vectors: F32, n: int) -> F32:
    """Copy `vectors` with zeros for NaN, and for rows up to n."""
    out = kernel.blank(n, vectors.shape[1])
    out[: len(vectors)] = np.nan_to_num(vectors, nan=0.0)
    return out


def _taken(rows: Interactions, which: I32) -> tuple[I64, I32, F32]:
    """Take some rows: (indptr, items, weights)."""
    lengths = np.diff(rows.indptr)[which]
    indptr = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    at = np.repeat(rows.indptr[which] - indptr[:-1], lengths) + np.arange(indptr[-1])
    return indptr, rows.items[at], rows.weights[at]


def _columns(rows: Interactions, which: I32) -> tuple[I64, I32, F32]:
    """Take some columns: (indptr, users, weights), users ascending within each."""
    place = np.full(rows.n_items, -1, np.int32)
    place[which] = np.arange(len(which), dtype=np.int32)
    column = place[rows.items]
    at = np.flatnonzero(column >= 0)
    at = at[np.argsort(column[at], kind="stable")]
    users = np.repeat(np.arange(rows.n_users, dtype=np.int32), np.diff(rows.indptr))[at]
    indptr = np.concatenate(([0], np.cumsum(np.bincount(column[at], minlength=len(which))))).astype(np.int64)
    return indptr, users, rows.weights[at]
