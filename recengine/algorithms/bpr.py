"""BPR: vectors and item biases that rank what a user engaged with above what they did not.

Stands on floor 3, used by both spines. In: `Interactions`. Out: one vector a user and an item, the item's ending in its
bias and the user's in 1, so that a score is a dot product. Loss (Rendle, Freudenthaler, Gantner, Schmidt-Thieme 2009,
"BPR: Bayesian Personalized Ranking from Implicit Feedback", eq. 5): -ln sigmoid(s_ui - s_uj) over entries (u, i) and
drawn items j without an entry of u, plus `regularization` / 2 times the squared vectors that a step touches.

Where `hardest_of` > 1, j is the best scored of so many draws ("dynamic negative sampling", Zhang, Chen, Wang, Yu 2013,
"Optimizing Top-N Collaborative Filtering via Dynamic Negative Item Sampling"): a random item is mostly one that
ranks far below already, and says nothing about the top.

A step of an entry is as long as its weight, in units of the mean weight. An entry of negative weight is no positive,
and may be drawn as any other negative.

Why the steps shrink to nothing over the epochs: at a constant length the vectors keep the noise of their last steps.
"""

import time
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from scipy import linalg

from recengine.algorithms.base import Progress
from recengine.algorithms.factors import FactorModel, Learned, read
from recengine.algorithms.liked import liked
from recengine.config import Bpr as BprConfig
from recengine.errors import TrainingFailed
from recengine.kernels import bpr as kernel
from recengine.kernels import cores
from recengine.types import F32, F64, I32, I64, Evidence, Interactions, Query, TrainingData

__all__ = ("Bpr",)

INIT_STD = 0.5
"""Length of a vector at the start. At 0.1 the products stay near 0 for ten epochs, and only the biases learn."""
FOLD_PASSES = 15
"""Passes over a history that is folded in. Gowalla, held-out part, Recall@20: vectors as trained .183, folded in by 15
passes .186, by 40 passes .189 at 2.5 times the cost."""
UPDATE_SHARE = 25
"""An update runs the epochs of a fit, divided by this; its steps begin at `UPDATE_RATE` of the full length."""
UPDATE_RATE = 0.3
RIDGE = 1e-3
"""Of the regression that splits a user's vector over the history, in mean squared lengths of its items."""


class Bpr(FactorModel[BprConfig, "_FoldIn"]):
    """Factorise by gradient steps on pairs, the same bits for any number of threads.

    Parameters
    ----------
    config : `recengine.config.Bpr`.
    """

    kind: ClassVar[str] = "bpr"

    def fit(self, data: TrainingData, *, seed: int = 0, threads: int = 0, progress: Progress | None = None) -> Self:
        """Learn the vectors; the same seed gives the same bits, whatever `threads` (0 = all cores).

        Cost of an epoch: entries * negatives * (10 + 2 hardest_of) factors flops.

        Raises
        ------
        EmptyData : no entry has a weight above 0.
        TrainingFailed : a weight or a vector is not finite.
        """
        entries = _Entries(data.interactions)
        width = kernel.padded(self.config.factors)
        shape = (entries.n_users, entries.n_items)
        rng = np.random.Generator(np.random.Philox(seed))
        users, items = (_start(rng, n, self.config.factors, width) for n in shape)
        bias = np.zeros(entries.n_items, np.float32)
        _run(self.config, entries, (users, items, bias), self.config.epochs, 1.0, rng, cores(threads), progress)
        self._learned = _learned(self.config, entries, users, items, bias)
        return self

    def update(self, data: TrainingData, users: I32, items: I32, *, threads: int = 0) -> Self:
        """Return a model that knows `data`: new rows get a vector, then all take a few short epochs together.

        See `Incremental.update`. Cost: 1 / `UPDATE_SHARE` of a fit.

        Raises
        ------
        EmptyData, TrainingFailed : as in `fit`.
        """
        old, entries = self._fitted(), _Entries(data.interactions)
        width = kernel.padded(self.config.factors)
        rng = np.random.Generator(np.random.Philox(len(users) + len(items)))
        x, y, bias = _grown(old.users, entries.n_users), _grown(old.items, entries.n_items), _bias(old, entries.n_items)
        x, y = np.ascontiguousarray(x[:, :width]), np.ascontiguousarray(y[:, :width])
        lacking = entries.users[np.isnan(x[entries.users, 0])]
        x[lacking] = np.nan_to_num(old.fold(old.items, entries.rows(lacking), cores(threads))[:, :width])
        new = entries.items_sold[np.isnan(y[entries.items_sold, 0])]
        y[new] = entries.means(x, new) * _typical(old.items[:, :width])
        epochs = max(1, self.config.epochs // UPDATE_SHARE)
        _run(self.config, entries, (x, y, bias), epochs, UPDATE_RATE, rng, cores(threads), None)
        model = type(self)(self.config)
        model._learned = _learned(self.config, entries, x, y, bias)  # noqa: SLF001 - its own class
        return model

    def explain(self, query: Query, row: int, item: int, top: int = 3) -> tuple[Evidence, ...]:
        """Split the score of `item`: a share for each item of the history, the bias, and the rest.

        The user's vector is regressed on the vectors of the history (ridge): a sum of them with weights a_j, and a
        rest. Evidence j weighs a_j y_j . y_item; `popular` is the bias; `model` is what the history does not say. All
        of it is the score; some may be negative. Cost: one solve of min(n, f) equations.
        """
        learned = self._fitted()
        items, weights = learned.usable(query.history, row)
        items = items[weights > 0]
        vector = learned.vectors(query, 1)[row].astype(np.float64)
        if item >= len(learned.items) or np.isnan(vector[0]) or np.isnan(learned.items[item, 0]):
            return ()
        target = learned.items[item].astype(np.float64)
        shares = _shares(learned.items[items, :-1].astype(np.float64), vector[:-1], target[:-1])
        rest = float(vector[:-1] @ target[:-1] - shares.sum())
        found = [Evidence("because_of", int(j), float(share)) for j, share in zip(items, shares, strict=True)]
        found += [Evidence("popular", weight=float(target[-1])), Evidence("model", weight=rest)]
        return tuple(sorted(found, key=lambda e: (-e.weight, e.item))[:top])

    def save(self, folder: Path) -> None:
        """Write users.npy and items.npy (vectors padded to 16, then 1 or the bias), engaged.npy and mean_weight.npy."""
        learned = self._fitted()
        learned.save(folder, engaged=learned.fold.engaged, mean_weight=np.array([learned.fold.mean_weight]))

    @classmethod
    def load(cls, config: BprConfig, folder: Path) -> Self:
        """Read what `save` wrote, memory-mapped.

        Raises
        ------
        BadArtifact : a file is missing or has the wrong shape.
        """
        width = kernel.padded(config.factors) + 1
        users, items, engaged, mean_weight = read(
            folder, width, engaged=(np.float32, (None,)), mean_weight=(np.float64, (1,))
        )
        model = cls(config)
        model._learned = Learned(users, items, _FoldIn(config, engaged, float(mean_weight[0])))
        return model


class _Entries:
    """The positive entries by user, items ascending, weights in units of their mean."""

    def __init__(self, rows: Interactions) -> None:
        kept = np.flatnonzero(liked(rows, "bpr"))
        self.n_users, self.n_items = rows.n_users, rows.n_items
        owner = np.repeat(np.arange(rows.n_users, dtype=np.int64), np.diff(rows.indptr))[kept]
        order = np.argsort(owner * rows.n_items + rows.items[kept], kind="stable")
        self.items: I32 = rows.items[kept][order]
        weights = rows.weights[kept][order]
        self.mean_weight = float(weights.mean(dtype=np.float64))
        self.weights: F32 = (weights / self.mean_weight).astype(np.float32)
        lengths = np.bincount(owner, minlength=rows.n_users)
        self.indptr: I64 = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        self.engaged: F32 = np.bincount(self.items, minlength=rows.n_items).astype(np.float32)
        self.users = np.flatnonzero(lengths).astype(np.int32)
        self.items_sold = np.flatnonzero(self.engaged).astype(np.int32)

    def rows(self, users: I32) -> Interactions:
        """Take the entries of some users, with the weights as they came."""
        spans = [np.arange(self.indptr[u], self.indptr[u + 1]) for u in users]
        flat = np.concatenate([np.empty(0, np.int64), *spans])
        indptr = np.cumsum([0, *map(len, spans)]).astype(np.int64)
        weights = self.weights[flat] * np.float32(self.mean_weight)
        return Interactions(len(users), self.n_items, indptr, self.items[flat], weights, np.zeros(len(flat), np.int64))

    def means(self, x: F32, items: I32) -> F32:
        """Average the vectors of the users of each of `items`, scaled to length 1 where not 0."""
        place = np.full(self.n_items, -1, np.int64)
        place[items] = np.arange(len(items))
        mine = np.flatnonzero(place[self.items] >= 0)
        owner = np.searchsorted(self.indptr, mine, side="right") - 1
        total = np.zeros((len(items), x.shape[1]), np.float64)
        np.add.at(total, place[self.items[mine]], x[owner])
        length = np.sqrt((total**2).sum(axis=1, keepdims=True))
        return np.asarray(np.divide(total, length, out=total, where=length > 0), dtype=np.float32)


class _FoldIn:
    """Gives a history its vector: steps against the items as they stand, over draws that hang on the history alone."""

    def __init__(self, config: BprConfig, engaged: F32, mean_weight: float) -> None:
        self.config = config
        self.engaged = engaged
        self.mean_weight = mean_weight

    @cached_property
    def negatives(self) -> kernel.Urn:
        """All items with entries, as training draws them."""
        return kernel.urn(np.flatnonzero(self.engaged > 0).astype(np.int32), _mass(self.config, self.engaged))

    def __call__(self, items: F32, history: Interactions, threads: int) -> F32:
        """Return float32 (B, width + 1), NaN where a row has no usable entry; see `factors.Fold`."""
        vectors = kernel.fold(
            items, history.indptr, history.items, history.weights / np.float32(self.mean_weight), self.negatives,
            passes=FOLD_PASSES, rate=self.config.learning_rate, regularization=self.config.regularization,
            hardest_of=self.config.hardest_of, threads=threads,
        )  # fmt: skip
        return _ended(vectors, np.where(np.isnan(vectors[:, 0]), np.float32(np.nan), np.float32(1)))


def _run(
    config: BprConfig,
    entries: _Entries,
    vectors: tuple[F32, F32, F32],
    epochs: int,
    rate: float,
    rng: np.random.Generator,
    threads: int,
    progress: Progress | None,
) -> None:
    """Step `vectors` (users, items, bias) in place; `rate` is the share of the configured one to begin with."""
    users, items, bias = vectors
    parts = kernel.blocks(len(entries.users), len(entries.items_sold), len(entries.items), items.shape[1])
    mass = _mass(config, entries.engaged)
    told = time.monotonic()
    for epoch in range(epochs):
        order = rng.permutation(entries.users)
        negatives = kernel.urn(rng.permutation(entries.items_sold), mass, parts, threads=threads)
        kernel.epoch(
            entries.indptr, entries.items, entries.weights, order, negatives, users, items, bias,
            rate=config.learning_rate * rate * (1 - epoch / epochs), regularization=config.regularization,
            key=int(rng.integers(0, 1 << 64, dtype=np.uint64)), negatives_each=config.negatives,
            hardest_of=config.hardest_of, threads=threads,
        )  # fmt: skip
        if progress is not None and (epoch + 1 == epochs or time.monotonic() - told > 0.25):
            told = time.monotonic()
            progress(epoch + 1, epochs)
    if not all(np.isfinite(part[rows]).all() for part, rows in zip(vectors, _touched(entries), strict=True)):
        raise TrainingFailed("bpr: the vectors are no longer finite", hint="lower `learning_rate`")


def _touched(entries: _Entries) -> tuple[I32, I32, I32]:
    return entries.users, entries.items_sold, entries.items_sold


def _mass(config: BprConfig, engaged: F32) -> F32 | None:
    """Say how likely an item is drawn as a negative; None = all alike."""
    if config.popularity_exponent == 0:
        return None
    return np.asarray(engaged**config.popularity_exponent, dtype=np.float32)


def _start(rng: np.random.Generator, rows: int, factors: int, width: int) -> F32:
    out = np.zeros((rows, width), np.float32)
    out[:, :factors] = rng.standard_normal((rows, factors), dtype=np.float32) * np.float32(INIT_STD / factors**0.5)
    return out


def _learned(config: BprConfig, entries: _Entries, users: F32, items: F32, bias: F32) -> "Learned[_FoldIn]":
    """Put vectors and biases together; rows without entries become NaN."""
    known = np.full(entries.n_users, np.nan, np.float32)
    known[entries.users] = 1
    sold = np.where(entries.engaged > 0, bias, np.float32(np.nan))
    users[np.isnan(known)] = np.nan
    items[np.isnan(sold)] = np.nan
    return Learned(_ended(users, known), _ended(items, sold), _FoldIn(config, entries.engaged, entries.mean_weight))


def _ended(vectors: F32, last: F32) -> F32:
    """Add a last column."""
    return np.concatenate((vectors, last[:, None]), axis=1, dtype=np.float32)


def _grown(vectors: F32, rows: int) -> F32:
    out = np.full((rows, vectors.shape[1]), np.nan, np.float32)
    out[: len(vectors)] = vectors
    return out


def _bias(old: "Learned[_FoldIn]", n_items: int) -> F32:
    """Take the biases; a new item starts with that of the least engaged."""
    bias = _grown(old.items, n_items)[:, -1].copy()
    bias[np.isnan(bias)] = np.nanmin(bias)
    return bias


def _typical(vectors: F32) -> np.float32:
    """Average the lengths of the rows that are not NaN."""
    return np.float32(np.nanmean(np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))))


def _shares(history: F64, vector: F64, target: F64) -> F64:
    """Weigh each row of `history` by the ridge regression of `vector` on them, times its product with `target`."""
    if len(history) == 0:
        return np.empty(0)
    ridge = RIDGE * float((history**2).sum()) / len(history) + 1e-12
    if len(history) <= len(vector):
        weights = linalg.solve(history @ history.T + ridge * np.eye(len(history)), history @ vector, assume_a="pos")
    else:
        inner = history.T @ history + ridge * np.eye(len(vector))
        weights = history @ linalg.solve(inner, vector, assume_a="pos")
    return np.asarray(weights * (history @ target), dtype=np.float64)
