"""Explicit ratings: a mean, a bias of each user and item, and the dot product of their vectors.

Stands on floor 3, used by both spines. In: `Interactions.values`; pairs without a value teach nothing. Out: a predicted
rating mean + b_u + b_i + x_u . y_i, the score of an item, and `predict`, which clips it to the range that was seen.
Loss: squared error + ridge (|x_u|^2 + |y_i|^2 + b_u^2 + b_i^2) a rating, by gradient steps (Funk 2006; Koren, Bell,
Volinsky 2009, eq. 5) whose length falls to 0 along a line.

Why it does not rank well: it learns from what people chose to rate, and says nothing about what they choose (Cremonesi,
Koren, Turrin 2010, section 5). Its use is the number. Why the biases are columns of the vectors: a score is then one
dot product, and an index of nearest neighbours can stand over it.

Why a rating of exactly `value_neutral` is not learned from: it weighs 0, and what weighs 0 leaves no entry, in training
and in the histories that requests read alike; an entry that says nothing would take the room of one that does. So a
`value_neutral` between two steps of the scale (2.75 of whole stars) is what keeps every rating.
"""

import time
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from scipy import linalg

from recengine.algorithms import factors
from recengine.algorithms.base import Progress
from recengine.algorithms.liked import liked
from recengine.config import FunkSvd as FunkConfig
from recengine.errors import EmptyData, TrainingFailed
from recengine.kernels import cores
from recengine.kernels import ratings as kernel
from recengine.types import F32, F64, I32, I64, Evidence, Interactions, Mask, Query, TopN, TrainingData

__all__ = ("FunkSvd",)

SPREAD = 0.1
"""Standard deviation of the start, over sqrt(factors)."""


class FunkSvd:
    """Factorise explicit ratings, with biases.

    Parameters
    ----------
    config : `recengine.config.FunkSvd`.
    learned : what an earlier fit left; None = nothing yet.
    """

    kind: ClassVar[str] = "funk_svd"

    def __init__(self, config: FunkConfig, learned: "factors.Learned[_Ridge] | None" = None) -> None:
        self.config = config
        self._learned = learned

    def fit(self, data: TrainingData, *, seed: int = 0, threads: int = 0, progress: Progress | None = None) -> Self:
        """Learn biases and vectors; the same seed gives the same bits, whatever `threads` (0 = all cores).

        Cost of an epoch: 3 ratings * (factors + 2) multiply-adds.

        Raises
        ------
        EmptyData : no pair has a value, or none a positive weight.
        TrainingFailed : a value is not finite, or a vector no longer is.
        """
        config, rows, team = self.config, data.interactions, cores(threads)
        users, items, values = _rated(rows)
        order, begins = kernel.cells(users, items, seed)
        users, items, values = users[order], items[order], values[order]
        mean = float(values.mean(dtype=np.float64))
        x, y = _start(config, rows.n_users, rows.n_items, seed)
        told = time.monotonic()
        for epoch in range(config.epochs):
            rate = config.learning_rate * (1 - epoch / config.epochs)
            how = {"factors": config.factors, "mean": mean, "rate": rate, "ridge": config.regularization}
            kernel.descend(users, items, values, begins, x, y, **how, threads=team)  # type: ignore[arg-type]
            if progress is not None and (epoch + 1 == config.epochs or time.monotonic() - told > 0.25):
                told = time.monotonic()
                progress(epoch + 1, config.epochs)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise TrainingFailed("funk_svd: the vectors are no longer finite", hint="lower `learning_rate`")
        x[:, config.factors] += np.float32(mean)
        x[np.bincount(users, minlength=rows.n_users) == 0] = np.nan
        y[np.bincount(items, minlength=rows.n_items) == 0] = np.nan
        fold = _Ridge(config, mean, float(values.min()), float(values.max()))
        self._learned = factors.Learned(x, y, fold)
        return self

    def recommend(self, query: Query, n: int, mask: Mask, *, threads: int = 1) -> TopN:
        """Pick the n items of highest predicted rating among the allowed ones; see `Scorer.recommend`."""
        return self._fitted().recommend(query, n, mask, threads)

    def score(self, query: Query, indptr: I64, items: I32, *, threads: int = 1) -> F32:
        """Predict ratings, not clipped, so that they order items; NaN where user or item has no rating."""
        return self._fitted().score(query, indptr, items, threads)

    def predict(self, query: Query, indptr: I64, items: I32, *, threads: int = 1) -> F32:
        """Predict ratings, float32, clipped to the range that was seen; shapes as in `score`.

        Who or what has no rating gets mean + the bias of the other, or the mean.
        """
        learned = self._fitted()
        fold, k = learned.fold, self.config.factors
        out = learned.score(query, indptr, items, threads)
        lost = np.flatnonzero(np.isnan(out))
        if len(lost):
            rows = np.searchsorted(indptr, lost, side="right") - 1
            user = learned.vectors(query, threads)[rows, k]
            known = items[lost] < len(learned.items)
            item = np.where(known, learned.items[np.where(known, items[lost], 0), k + 1], np.float32(np.nan))
            out[lost] = np.where(np.isnan(user), np.float32(fold.mean), user) + np.nan_to_num(item)
        return np.clip(out, np.float32(fold.lowest), np.float32(fold.highest))

    def explain(self, query: Query, row: int, item: int, top: int = 3) -> tuple[Evidence, ...]:
        """Split the prediction: how the item is rated at large, and what each rating of the user adds.

        x_u = A^-1 sum_j y_j (r_j - mean - b_j), as fold-in has it: rating j adds its term times y_i, and `popular` is
        what is left, the mean and the item's bias. The weights sum to the score.
        """
        learned = self._fitted()
        vector = learned.vectors(query, 1)[row]
        if item >= len(learned.items) or np.isnan(vector[0]) or np.isnan(learned.items[item, 0]):
            return ()
        score = float(vector.astype(np.float64) @ learned.items[item].astype(np.float64))
        items, shares = learned.fold.shares(learned.items, query.history, row, learned.items[item])
        order = np.lexsort((items, -np.abs(shares)))
        found = [Evidence("because_of", int(items[j]), float(shares[j])) for j in order]
        rest = Evidence("popular", -1, score - float(shares.sum()))
        return tuple(sorted([*found, rest], key=lambda e: -e.weight)[:top])

    def similar_items(self, items: I32, n: int) -> TopN:
        """Pick the n items of largest cosine to each of `items`, biases aside; NaN and -1 where there is no vector."""
        return self._shapes.similar_items(items, n)

    def item_vectors(self) -> F32:
        """Return unit-length item vectors (n_items, width) float32, biases aside, zero rows where an item has none."""
        return self._shapes.item_vectors()

    def query_vectors(self, query: Query, *, threads: int = 1) -> F32:
        """Return vectors (B, width) float32 with the bias and the mean in, NaN where there is none; see `Factors`."""
        return self._fitted().vectors(query, threads)

    def item_factors(self) -> F32:
        """Return the items' vectors (n_items, width) float32 with the biases in; see `Factors`."""
        return self._fitted().items

    def update(self, data: TrainingData, users: I32, items: I32, *, threads: int = 0) -> Self:
        """Solve new items against the users as they were, then changed users against all items; see `Incremental`.

        Raises
        ------
        EmptyData, TrainingFailed : as in `fit`.
        """
        learned, rows, team = self._fitted(), data.interactions, cores(threads)
        who, what, values = _rated(rows)
        fold, k = learned.fold, self.config.factors
        x, y = factors.grown(learned.users, rows.n_users), factors.grown(learned.items, rows.n_items)
        fresh = items[np.isnan(y[items, 0])]
        picked = np.flatnonzero(np.isin(what, fresh) & ~np.isnan(x[who, 0]))
        picked = picked[np.argsort(what[picked], kind="stable")]
        solvable, begins = np.unique(what[picked], return_index=True)
        for item, mine in zip(solvable.tolist(), np.split(picked, begins[1:]), strict=False):
            z = x[who[mine]].astype(np.float64)
            targets = values[mine] - z[:, k]
            z[:, k], z[:, k + 1] = 0.0, 1.0
            solved = fold.solve(z[:, : k + 2], targets)
            y[item] = 0.0
            y[item, : k + 2] = solved
            y[item, k] = 1.0
        known = _Ridge(
            self.config, fold.mean, min(fold.lowest, float(values.min())), max(fold.highest, float(values.max()))
        )
        return type(self)(self.config, factors.Learned(factors.refolded(x, known, y, rows, users, team), y, known))

    def save(self, folder: Path) -> None:
        """Write users.npy, items.npy and range.npy (mean, lowest and highest value, float64)."""
        learned = self._fitted()
        fold = learned.fold
        learned.save(folder, range=np.array([fold.mean, fold.lowest, fold.highest]))

    @classmethod
    def load(cls, config: FunkConfig, folder: Path) -> Self:
        """Read what `save` wrote, memory-mapped.

        Raises
        ------
        BadArtifact : a file is missing or has the wrong shape.
        """
        users, items, span = factors.read(folder, kernel.width_of(config.factors), range=(np.float64, (3,)))
        return cls(config, factors.Learned(users, items, _Ridge(config, *(float(value) for value in span))))

    def _fitted(self) -> "factors.Learned[_Ridge]":
        return factors.fitted(self._learned, self.kind, self.config.name)

    @property
    def _shapes(self) -> "factors.Learned[_Ridge]":
        """The vectors without their biases, which are alike in all items."""
        learned = self._fitted()
        return learned.fold.shapes(learned)


class _Ridge:
    """Folds ratings in: the ridge solution of vector and bias against the items."""

    def __init__(self, config: FunkConfig, mean: float, lowest: float, highest: float) -> None:
        self.config = config
        self.mean = mean
        self.lowest = lowest
        self.highest = highest
        self._shapes: factors.Learned[_Ridge] | None = None

    def __call__(self, items: F32, history: Interactions, threads: int) -> F32:  # noqa: ARG002 - rows are few and short
        k = self.config.factors
        out = np.full((history.n_users, items.shape[1]), np.nan, np.float32)
        for row in range(history.n_users):
            _, z, targets = self._entries(items, history, row)
            if len(z):
                out[row] = 0.0
                out[row, : k + 1] = self.solve(z, targets)
                out[row, k] += np.float32(self.mean)
                out[row, k + 1] = 1.0
        return out

    def solve(self, z: F64, targets: F64) -> F64:
        """Minimise |targets - Z v|^2 + ridge n |v|^2, the loss of `n` ratings."""
        gram = z.T @ z + max(self.config.regularization, 1e-6) * len(z) * np.eye(z.shape[1])
        return np.asarray(linalg.solve(gram, z.T @ targets, assume_a="pos"), dtype=np.float64)

    def shares(self, items: F32, history: Interactions, row: int, target: F32) -> tuple[I32, F64]:
        """Split what the user's own ratings say about an item with vector `target`."""
        rated, z, targets = self._entries(items, history, row)
        if len(z) == 0:
            return rated, np.zeros(0)
        gram = z.T @ z + max(self.config.regularization, 1e-6) * len(z) * np.eye(z.shape[1])
        toward = linalg.solve(gram, target[: z.shape[1]].astype(np.float64), assume_a="pos")
        return rated, (z @ toward) * targets

    def shapes(self, learned: "factors.Learned[_Ridge]") -> "factors.Learned[_Ridge]":
        """Return the items without the columns of the biases, made once."""
        if self._shapes is None:
            k = self.config.factors
            items = np.array(learned.items)
            items[:, k : k + 2] -= items[:, k : k + 2]  # 0, and NaN stays
            self._shapes = factors.Learned(learned.users[:0], items, self)
        return self._shapes

    def _entries(self, items: F32, history: Interactions, row: int) -> tuple[I32, F64, F64]:
        """Return the rated items that have a vector, these vectors (n, factors + 1), and ratings less mean and bias."""
        mine, k = slice(int(history.indptr[row]), int(history.indptr[row + 1])), self.config.factors
        if history.values is None:
            return history.items[:0], np.zeros((0, k + 1)), np.zeros(0)
        rated, values = history.items[mine], history.values[mine]
        kept = (rated < len(items)) & np.isfinite(values)
        kept[kept] &= ~np.isnan(items[rated[kept], 0])
        rated, values = rated[kept], values[kept].astype(np.float64)
        z = items[rated].astype(np.float64)
        return rated, z[:, : k + 1], values - self.mean - z[:, k + 1]


def _rated(rows: Interactions) -> tuple[I32, I32, F32]:
    """Return users, items and values of the pairs that have a value.

    Raises
    ------
    EmptyData : there is none, or no entry has a positive weight.
    TrainingFailed : a value is infinite, or a weight is not finite.
    """
    liked(rows, "funk_svd")
    values = rows.values
    if values is None or np.isnan(values).all():
        raise EmptyData(
            "funk_svd: no interaction carries a rating", hint="ingest events of a type with `value_full`, with values"
        )
    users = np.repeat(np.arange(rows.n_users, dtype=np.int32), np.diff(rows.indptr))
    kept = np.flatnonzero(~np.isnan(values))
    bad = kept[~np.isfinite(values[kept])]
    if len(bad):
        raise TrainingFailed(
            f"funk_svd: the value of user row {users[bad[0]]} and item row {rows.items[bad[0]]} is {values[bad[0]]}",
            hint="look for values that are not finite numbers",
        )
    return users[kept], rows.items[kept], values[kept]


def _start(config: FunkConfig, n_users: int, n_items: int, seed: int) -> tuple[F32, F32]:
    rng, k = np.random.default_rng(seed), config.factors
    x, y = (np.zeros((n, kernel.width_of(k)), np.float32) for n in (n_users, n_items))
    for side in (x, y):
        side[:, :k] = rng.standard_normal((len(side), k), dtype=np.float32) * np.float32(SPREAD / k**0.5)
    x[:, k + 1], y[:, k] = 1.0, 1.0
    return x, y
