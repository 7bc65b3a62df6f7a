"""Non-negative matrix factorisation: tastes and items as sums of parts, none of which is ever taken away.

Stands on floor 3, used by both spines. In: `Interactions`, weighted; what was not seen counts as 0. Out: W, H >= 0 that
minimise |A - W H^T|^2 / 2 + l2 (|W|^2 + |H|^2) / 2 + l1 (sum W + sum H). Negative entries (dislikes) count as 0 too.

Found by coordinate descent, one side after the other (Hsieh and Dhillon 2011; HALS, Cichocki and Phan 2009). Why some
sweeps a half-step and not one: A H costs more than a sweep, and is the same for all of them (Gillis and Glineur 2012,
"Accelerated multiplicative updates and HALS", section 3). The last half-step solves the users to the end from 0, as
fold-in does: a stored vector is what fold-in gives, bit for bit.
"""

import time
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from scipy import sparse

from recengine.algorithms import factors
from recengine.algorithms.base import Progress
from recengine.algorithms.weighting import How, fold_weights, unscaled, weighted
from recengine.config import Nmf as NmfConfig
from recengine.errors import TrainingFailed
from recengine.kernels import als as dense
from recengine.kernels import cores
from recengine.kernels import sparse as kernel
from recengine.types import F32, I32, I64, Evidence, Interactions, Query, TrainingData

__all__ = ("Nmf", "Parts", "factorised")

SWEEPS = 4
"""Sweeps over the coordinates in a half-step."""
FOLD_SWEEPS = 400
"""Most sweeps of a fold-in; a row ends when nothing moves, after about 30."""


class Nmf(factors.FactorModel[NmfConfig, "_NonNegative"]):
    """Factorise weighted interactions into non-negative parts.

    Parameters
    ----------
    config : `recengine.config.Nmf`.
    learned : what an earlier fit left; None = nothing yet.
    """

    kind: ClassVar[str] = "nmf"

    def fit(self, data: TrainingData, *, seed: int = 0, threads: int = 0, progress: Progress | None = None) -> Self:
        """Learn the parts; the same seed gives the same bits, whatever `threads` (0 = all cores).

        Cost of an epoch: about 2 entries * factors + (users + items) * factors^2 * `SWEEPS` multiply-adds, less where
        vectors are sparse.

        Raises
        ------
        EmptyData : no entry has a weight above 0.
        TrainingFailed : a weight is not a finite number.
        """
        config, rows, team = self.config, data.interactions, cores(threads)
        what = weighted(rows, config.weighting, self.kind)
        matrix = what.matrix.maximum(0)
        parts = factorised(matrix, config, seed=seed, threads=team, progress=progress)
        items = parts.items * what.scale[:, None]
        items[~what.seen] = np.nan
        gram = dense.gram(parts.items, threads=team).astype(np.float32)
        fold = _NonNegative(what.entry, gram, config)
        self._learned = factors.Learned(fold(items, rows, team), items, fold)
        return self

    def explain(self, query: Query, row: int, item: int, top: int = 3) -> tuple[Evidence, ...]:
        """Split the score over the history by parts: each part's share goes to the entries that brought it in.

        Part k adds w_k h_ik, and (A H)_k = sum over entries of a_j h_jk is what raised w_k: entry j gets
        sum over k of w_k h_ik a_j h_jk / (A H)_k. The weights are >= 0 and sum to the score.
        """
        learned = self._fitted()
        items, weights = learned.usable(query.history, row)
        if item >= len(learned.items) or not (weights > 0).any() or np.isnan(learned.items[item, 0]):
            return ()
        history = Interactions(1, len(learned.items), np.array([0, len(items)]), items, weights, np.zeros(0, np.int64))
        brought = learned.fold.weights(history).astype(np.float64)[:, None] * learned.items[items]
        total = brought.sum(axis=0)
        parts = learned.vectors(query, 1)[row].astype(np.float64) * learned.items[item]
        shares = (brought / np.where(total > 0, total, 1.0)) @ np.where(total > 0, parts, 0.0)
        order = np.lexsort((items, -shares))
        order = order[weights[order] > 0][:top]
        return tuple(Evidence("because_of", int(items[j]), float(shares[j])) for j in order)

    def update(self, data: TrainingData, users: I32, items: I32, *, threads: int = 0) -> Self:
        """Solve new items against the users as they were, then changed users against all items.

        See `Incremental`. Known items keep their vectors until the next full fit.
        Cost: entries of the changed rows * width, and factors^2 a sweep of each.

        Raises
        ------
        TrainingFailed : a weight is not a finite number.
        """
        learned, rows, team, config = self._fitted(), data.interactions, cores(threads), self.config
        what = weighted(rows, config.weighting, self.kind)
        vectors, entry = factors.grown(learned.items, rows.n_items), factors.grown(learned.fold.entry, rows.n_items)
        fresh = items[np.isnan(vectors[items, 0]) & what.seen[items]]
        folded = factors.refolded(learned.users, learned.fold, learned.items, rows, users, team)
        if len(fresh):
            theirs = sparse.csr_matrix(what.matrix.maximum(0)[:, fresh].T)
            known = np.nan_to_num(folded * what.row[:, None])
            targets = kernel.product(known, *_csr(theirs), threads=team)
            new = np.zeros_like(targets)
            _solve(dense.gram(known, threads=team).astype(np.float32), targets, new, config, FOLD_SWEEPS, team)
            vectors[fresh], entry[fresh] = new * what.scale[fresh, None], what.entry[fresh]
        plain = np.nan_to_num(unscaled(vectors, entry, config.weighting))
        gram = dense.gram(plain, threads=team).astype(np.float32)
        fold = _NonNegative(entry, gram if len(fresh) else learned.fold.gram, config)
        folded = factors.refolded(folded, fold, vectors, rows, users, team)
        return type(self)(config, factors.Learned(folded, vectors, fold))

    def save(self, folder: Path) -> None:
        """Write users.npy, items.npy (padded to 16 k), entry.npy (what an entry of each item weighs), gram.npy."""
        learned = self._fitted()
        learned.save(folder, entry=learned.fold.entry, gram=learned.fold.gram)

    @classmethod
    def load(cls, config: NmfConfig, folder: Path) -> Self:
        """Read what `save` wrote, memory-mapped.

        Raises
        ------
        BadArtifact : a file is missing or has the wrong shape.
        """
        width = dense.padded(config.factors)
        own: dict[str, factors.Expected] = {"entry": (np.float32, (None,)), "gram": (np.float32, (width, width))}
        users, items, entry, gram = factors.read(folder, width, **own)
        return cls(config, factors.Learned(users, items, _NonNegative(entry, gram, config)))


class _NonNegative:
    """Folds histories in: non-negative least squares of each against the items.

    `entry` (n_items,) float32, see `Weighted`; `gram` (width, width) float32 is H^T H, H in the matrix' own space.
    """

    def __init__(self, entry: F32, gram: F32, config: NmfConfig) -> None:
        self.entry = entry
        self.gram = gram
        self.config = config

    def weights(self, history: Interactions) -> F32:
        """Weigh entries; dislikes are 0."""
        how: How = self.config.weighting
        return np.maximum(fold_weights(history, self.entry, how), np.float32(0))

    def __call__(self, items: F32, history: Interactions, threads: int) -> F32:
        entries = history.indptr, history.items, self.weights(history)
        targets = kernel.product(items, *entries, cold_nan=True, threads=threads)
        out = np.zeros_like(targets)
        _solve(self.gram, targets, out, self.config, FOLD_SWEEPS, threads)
        return out


class Parts:
    """Both sides of a factorisation, float32 (n, width) and (m, width), >= 0, zeros beyond the real factor count."""

    def __init__(self, users: F32, items: F32, config: NmfConfig, threads: int) -> None:
        self.users = users
        self.items = items
        self.config = config
        self.threads = threads

    def step(self, fixed: F32, rows: tuple[I64, I32, F32], out: F32) -> F32:
        """Improve `out` against `fixed`; returns what the products of rows and `fixed` were."""
        gram = dense.gram(fixed, threads=self.threads).astype(np.float32)
        targets = kernel.product(fixed, *rows, threads=self.threads)
        _solve(gram, targets, out, self.config, SWEEPS, self.threads)
        return targets

    def loss(self, square: float, targets: F32) -> float:
        """Say the loss after `step` of the items: `targets` is A^T W, `square` is |A|^2."""
        config, both = self.config, (self.users, self.items)
        left, right = (dense.gram(side, threads=self.threads) for side in both)
        cross = float(np.einsum("ij,ij->", self.items, targets, dtype=np.float64))
        fit = (square - 2 * cross + float((left * right).sum())) / 2
        sums = config.l1 * sum(float(side.sum(dtype=np.float64)) for side in both) if config.l1 else 0.0
        return fit + config.l2 * float(np.trace(left) + np.trace(right)) / 2 + sums


def factorised(
    matrix: sparse.csr_matrix, config: NmfConfig, *, seed: int, threads: int, progress: Progress | None = None
) -> Parts:
    """Factorise a non-negative sparse matrix (n, m), from |normal| numbers of the size that gives its mean.

    Raises
    ------
    TrainingFailed : the loss is no longer finite.
    """
    rng, width = np.random.default_rng(seed), dense.padded(config.factors)
    mean = float(matrix.sum(dtype=np.float64)) / (matrix.shape[0] * matrix.shape[1])
    size = np.float32(np.sqrt(max(mean, 1e-12) / config.factors))
    users, items = (dense.blank(n, width) for n in matrix.shape)
    for side in (users, items):
        side[:, : config.factors] = np.abs(rng.standard_normal((len(side), config.factors), dtype=np.float32)) * size
    parts = Parts(users, items, config, threads)
    rows, columns = _csr(matrix), _csr(sparse.csr_matrix(matrix.T))
    square = float(np.square(matrix.data, dtype=np.float64).sum())
    before, told = np.inf, time.monotonic()
    for epoch in range(config.epochs):
        parts.step(parts.items, rows, parts.users)
        targets = parts.step(parts.users, columns, parts.items)
        loss = parts.loss(square, targets)
        if not np.isfinite(loss):
            raise TrainingFailed("nmf: the loss is no longer finite", hint="look for huge event weights")
        ended = epoch + 1 == config.epochs or before - loss < config.tolerance * before
        if progress is not None and (ended or time.monotonic() - told > 0.25):
            told = time.monotonic()
            progress(config.epochs if ended else epoch + 1, config.epochs)
        if ended:
            break
        before = loss
    return parts


def _solve(gram: F32, targets: F32, out: F32, config: NmfConfig, sweeps: int, threads: int) -> None:
    kernel.nonnegative(gram, targets, out, l1=config.l1, l2=config.l2, sweeps=sweeps, threads=threads)


def _csr(matrix: sparse.csr_matrix) -> tuple[I64, I32, F32]:
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data
