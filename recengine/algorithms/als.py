"""Implicit ALS: vectors whose dot product says how likely an engagement is, with exact fold-in of new histories.

Stands on floor 3, used by both spines. In: `Interactions`. Out: one vector a user and an item; scores are their dot
products, about 0..1. Loss (Hu, Koren, Volinsky 2008; Rendle, Krichene, Zhang, Koren 2021, "Revisiting the Performance
of iALS", eq. 4): sum over entries of c (x.y - p)^2 + alpha_0 * sum over all pairs of (x.y)^2
+ sum over rows of lambda (n + alpha_0 m)^nu |x|^2; n = entries of the row, m = rows of the other side with entries.

Why the items come first in an epoch and the last half-step goes on to its end: the users are then solved against the
final items, so a stored vector is what fold-in gives, and an explanation adds up to the score.
"""

import time
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from scipy import linalg, sparse

from recengine.algorithms import factors
from recengine.algorithms.als_update import Solved, solved_again
from recengine.algorithms.base import Progress
from recengine.algorithms.liked import liked
from recengine.config import Als as AlsConfig
from recengine.errors import TrainingFailed
from recengine.kernels import als as kernel
from recengine.kernels import cores
from recengine.types import F32, F64, I32, I64, Evidence, Interactions, Query, TrainingData

__all__ = ("Als",)

UNOBSERVED_PER_DENSITY = 20.0
"""The published weights of the unobserved are 2 to 20 times the density of their data: ML-20M .1 at .5 %, MSD .02 at
.1 %, Pinterest .007 at .2 % (Rendle et al. 2021). Recall@20 on held-out parts, 10 times the density -> this, 256
factors: Gowalla .193 -> .203 (with lambda .003 -> .004), Amazon Beauty .118 -> .122."""
MOST_UNOBSERVED = 0.3
"""What ML-1M (4.5 % dense) is published with; more lets popularity alone decide in small, dense shops."""
LAST_STEPS = 50
"""Most conjugate-gradient steps of the last half-step; it stops at float32's end, after about 10."""


class Als(factors.FactorModel[AlsConfig, "_FoldIn"]):
    """Factorise implicit feedback: confidence per weight, regularisation by frequency, a weight of the unobserved.

    Parameters
    ----------
    config : `recengine.config.Als`.
    """

    kind: ClassVar[str] = "als"
    _turn: F64 | None = None

    def fit(self, data: TrainingData, *, seed: int = 0, threads: int = 0, progress: Progress | None = None) -> Self:
        """Learn the vectors; the same seed gives the same bits, whatever `threads` (0 = all cores).

        Cost of an epoch: about 2 (users + items) f^2 + 16 entries * f multiply-adds.

        Raises
        ------
        EmptyData : no entry has a weight above 0.
        TrainingFailed : a weight, or a vector, is not finite.
        """
        rows = data.interactions
        liked(rows, self.kind)
        unobserved = _unobserved(self.config, rows)
        self._learned = _factorise(self.config, unobserved, rows, seed, cores(threads), progress)
        self._turn = None
        return self

    def update(self, data: TrainingData, users: I32, items: I32, *, threads: int = 0) -> Self:
        """Solve the changed users and items again, alpha_0 as it was; see `als_update.py` and `Incremental.update`.

        Raises
        ------
        TrainingFailed : a vector is no longer finite.
        """
        held = self._fitted()
        unobserved = held.fold.unobserved
        solved = solved_again(
            self.config,
            Solved(held.users, held.items, held.fold.spectrum),
            unobserved,
            partial(_objective, self.config, unobserved),
            data.interactions,
            users,
            items,
            cores(threads),
        )
        model = type(self)(self.config)
        learned = _learned(self.config, solved.users, solved.items, solved.spectrum, unobserved)
        model._learned, model._turn = learned, solved.turn  # noqa: SLF001 - one of ours
        return model

    def turn(self) -> F64 | None:
        """Return what turned the vectors of the model that it was updated from into its own basis; see `Turned`."""
        return self._turn

    def explain(self, query: Query, row: int, item: int, top: int = 3) -> tuple[Evidence, ...]:
        """Split the score of `item` over the history: weight_j = c_j y_item^T A^-1 y_j.

        Hu, Koren, Volinsky 2008, section 5. The weights sum to the score of the exact fold-in; some may be negative.
        Cost: one solve of min(n, f) equations.
        """
        learned = self._fitted()
        items, weights = learned.usable(query.history, row)
        if item >= len(learned.items) or len(items) == 0:
            return ()
        target = learned.items[item].astype(np.float64)
        if np.isnan(target[0]):
            return ()
        shares = self._shares(learned.items[items].astype(np.float64), weights.astype(np.float64), target)
        order = np.lexsort((items, -shares))
        speaking = order[weights[order] > 0][:top]  # a dislike shapes A, but adds nothing of its own
        return tuple(Evidence("because_of", int(items[j]), float(shares[j])) for j in speaking)

    def save(self, folder: Path) -> None:
        """Write users.npy, items.npy (width padded to 16), spectrum.npy and unobserved.npy (alpha_0 as it was used)."""
        learned = self._fitted()
        learned.save(folder, spectrum=learned.fold.spectrum, unobserved=np.array([learned.fold.unobserved]))

    @classmethod
    def load(cls, config: AlsConfig, folder: Path) -> Self:
        """Read what `save` wrote, memory-mapped.

        Raises
        ------
        BadArtifact : a file is missing or has the wrong shape.
        """
        width = kernel.padded(config.factors)
        own: dict[str, factors.Expected] = {"spectrum": (np.float32, (width,)), "unobserved": (np.float64, (1,))}
        users, items, spectrum, unobserved = factors.read(folder, width, **own)
        model = cls(config)
        model._learned = _learned(config, users, items, spectrum, float(unobserved[0]))
        return model

    def _shares(self, z: F64, weights: F64, target: F64) -> F64:
        """Split target^T A^-1 Z^T C p over the entries; A = diag + Z^T C Z."""
        fold = self._fitted().fold
        o = fold.objective
        diag = fold.spectrum + o.regularization * (len(z) + o.unseen) ** o.exponent
        positive = weights > 0
        c = np.where(positive, 1 + o.confidence * (weights - 1), -weights)
        c = np.maximum(c, kernel.SMALLEST_CONFIDENCE)
        if len(z) <= len(target):  # C Z A^-1 = (C^-1 + Z diag^-1 Z^T)^-1 Z diag^-1
            scaled = z / diag
            shares = linalg.solve(np.diag(1 / c) + scaled @ z.T, scaled @ target, assume_a="pos")
        else:
            shares = c * (z @ linalg.solve(np.diag(diag) + z.T @ (z * c[:, None]), target, assume_a="pos"))
        return np.where(positive, shares, 0.0)


class _FoldIn:
    """Solves histories exactly against the items, which stand in the eigenbasis of their Gram matrix.

    `spectrum` (width,) float32 is alpha_0 * the eigenvalues; `unobserved` is alpha_0.
    """

    def __init__(self, spectrum: F32, unobserved: float, objective: kernel.Objective) -> None:
        self.spectrum = spectrum
        self.unobserved = unobserved
        self.objective = objective

    def __call__(self, items: F32, history: Interactions, threads: int) -> F32:
        entries = history.indptr, history.items, history.weights
        return kernel.fold_in(items, *entries, self.spectrum, self.objective, threads=threads)


def _learned(config: AlsConfig, users: F32, items: F32, spectrum: F32, unobserved: float) -> factors.Learned[_FoldIn]:
    seen = int(np.count_nonzero(~np.isnan(items[:, 0])))
    return factors.Learned(users, items, _FoldIn(spectrum, unobserved, _objective(config, unobserved, seen)))


def _unobserved(config: AlsConfig, rows: Interactions) -> float:
    """Take alpha_0 as configured; else `UNOBSERVED_PER_DENSITY` times the share of engaged pairs.

    Of users and items with an entry > 0: visitors and stock that nobody touched say nothing of how dense the rest is.
    """
    if config.unobserved_weight is not None:
        return config.unobserved_weight
    engaged = rows.weights > 0
    owner = np.repeat(np.arange(rows.n_users), np.diff(rows.indptr))
    users, items = (len(np.unique(side[engaged])) for side in (owner, rows.items))
    return min(MOST_UNOBSERVED, UNOBSERVED_PER_DENSITY * int(engaged.sum()) / (max(users, 1) * max(items, 1)))


def _factorise(
    config: AlsConfig, unobserved: float, rows: Interactions, seed: int, threads: int, progress: Progress | None
) -> factors.Learned[_FoldIn]:
    matrix = sparse.csr_matrix((rows.weights, rows.items, rows.indptr), shape=(rows.n_users, rows.n_items))
    by_user = _Side(config, unobserved, rows.indptr, rows.items, rows.weights)
    by_item = _Side.of(config, unobserved, matrix.tocsc())
    width = kernel.padded(config.factors)
    users, items = kernel.blank(rows.n_users, width), kernel.blank(rows.n_items, width)
    start = np.random.default_rng(seed).standard_normal((rows.n_users, config.factors), dtype=np.float32)
    users[:, : config.factors] = start * np.float32(config.init_std / config.factors**0.5)
    users[by_user.empty] = 0.0
    told = time.monotonic()
    spectrum = np.zeros(width, dtype=np.float32)
    for epoch in range(config.epochs):
        by_item.solve(users, by_user, items, threads)
        spectrum = by_user.solve(items, by_item, users, threads, last=epoch + 1 == config.epochs)
        if progress is not None and (epoch + 1 == config.epochs or time.monotonic() - told > 0.25):
            told = time.monotonic()
            progress(epoch + 1, config.epochs)
    if not (np.isfinite(users).all() and np.isfinite(items).all()):
        raise _diverged()
    users[by_user.empty | ~users.any(axis=1)] = np.nan  # dislikes alone give the zero vector, which says nothing
    items[by_item.empty] = np.nan
    return _learned(config, users, items, spectrum, unobserved)


class _Side:
    """The entries of one side, and the order and kind of its solves."""

    def __init__(self, config: AlsConfig, unobserved: float, indptr: I64, items: I32, weights: F32) -> None:
        self.unobserved = unobserved
        lengths = np.diff(indptr)
        self.config, self.indptr, self.items, self.weights = config, indptr, items, weights
        self.empty = lengths == 0
        self.order = _order(lengths)
        width = kernel.padded(config.factors)
        self.exact = kernel.exact_rows(lengths, width, config.cg_steps, config.solver)
        self.exact_last = kernel.exact_rows(lengths, width, LAST_STEPS // 5, config.solver)
        self.warm = np.flatnonzero((self.exact == 0) & ~self.empty).astype(np.int32)

    @classmethod
    def of(cls, config: AlsConfig, unobserved: float, matrix: sparse.csc_matrix) -> Self:
        return cls(config, unobserved, matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)

    def solve(self, fixed: F32, other: "_Side", out: F32, threads: int, *, last: bool = False) -> F32:
        """Turn both sides into the eigenbasis of `fixed`, solve `out`; returns alpha_0 * the eigenvalues.

        `last` solves every row to the end of float32's precision.
        """
        gram = kernel.gram(fixed, threads=threads)
        if not np.isfinite(gram).all():
            raise _diverged()
        values, basis = kernel.eigenbasis(gram)
        kernel.rotate(fixed, basis, threads=threads)
        kernel.rotate(out, basis, self.warm, threads=threads)
        spectrum: F32 = (self.unobserved * np.maximum(values, 0.0)).astype(np.float32)
        kernel.solve(
            fixed, self.indptr, self.items, self.weights, spectrum,
            _objective(self.config, self.unobserved, int(np.count_nonzero(~other.empty))), out,
            exact=self.exact_last if last else self.exact, steps=LAST_STEPS if last else self.config.cg_steps,
            order=self.order, threads=threads,
        )  # fmt: skip
        return spectrum


def _order(lengths: I64) -> I32:
    """Put the few very long rows first, so that threads end together; the others stay as they lie.

    Why not all by length: neighbours in the order of arrival share entries and streams; sorting cost 25 to 45 %.
    """
    long = lengths > max(1024, int(lengths.sum()) // 256)
    return np.argsort(np.where(long, -lengths, 0), kind="stable").astype(np.int32)


def _objective(config: AlsConfig, unobserved: float, others: int) -> kernel.Objective:
    unseen = unobserved * others
    return kernel.Objective(config.confidence, config.regularization, unseen, config.regularization_exponent)


def _diverged() -> TrainingFailed:
    return TrainingFailed(
        "als: the vectors are no longer finite", hint="raise `regularization`, or look for huge event weights"
    )
