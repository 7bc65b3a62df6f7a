"""EASE: linear item-item weights, each item explained by all others at once; in closed form, or sparse for more items.

Offline spine: `fit` takes the interactions. Online spine: `recommend` and `score` take a batch of histories; what a
score of 0.0 or NaN means is said in `algorithms/item_weights.py`. Entries with weight <= 0 are no vote.

Exact: B = I - P / diag(P) with P = (X^T X + lambda I)^-1 (Steck 2019). Sparse: column j of B is the ridge regression
of item j on all other items; done on its `neighbors` most similar items alone it needs no large matrix (the idea of a
sparse approximate inverse, as in SANSA: Spisak et al. 2023; here each small system is solved exactly). With all items
as neighbours both are the same. The sparse form is no poorer copy: over the 3,000 most used items of Gowalla, asked for
a held-out tenth of each user's items, Recall@20 / NDCG@20 are .3889 / .2121 exact, and sparse .3934 / .2134 with 50
neighbours, .3939 / .2146 with 100, .3958 / .2151 with 200 (the graph filter: .3800 / .2014).

Why float64 for the inverse: popular items make X^T X / lambda large, and half the digits of float32 are gone by then.
Why memory is asked for first: see `kernels/memory.py`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final, NamedTuple, Self

import numpy as np
from scipy.linalg import lapack

from recengine.algorithms.base import Progress
from recengine.algorithms.item_weights import DenseWeights, ItemWeights, WeightsModel
from recengine.algorithms.similarity import check_shapes, nearest, positive_rows, space_of, strength, transposed
from recengine.arrays import read_arrays, write_arrays
from recengine.config import Ease as EaseConfig
from recengine.errors import BadArtifact, TrainingFailed
from recengine.kernels import cores
from recengine.kernels.knn import Csr, Weighting
from recengine.kernels.memory import available_bytes
from recengine.kernels.ridge import gram, regress, weights
from recengine.types import F32, F64, I32, Mask, TopN, TrainingData

__all__ = ("Ease", "inverted")

WEIGHTING: Final = "tfidf"
"""An entry of weight w counts sqrt(w), in training as in a history; what is rare is left to the regression."""


GROWN: Final = 0.25
"""An update leaves an item's weights as they are until its entries are more or fewer by this share."""


class _Histories(NamedTuple):
    """X, scaled so that the mean square of an entry is 1: `regularization` counts entries, whatever the weights are."""

    users: Csr
    items: Csr
    known: Mask


class Ease(WeightsModel[EaseConfig, DenseWeights | ItemWeights]):
    """Score by linear item-item weights that were fitted to the histories themselves (Steck 2019).

    score(u, i) = sum over the history items h, with weight w_h > 0, of sqrt(w_h) * B[h, i], cut at 0, where B is the
    least-squares solution of X B = X with a zero diagonal and lambda |B|^2, over entries sqrt(w). `regularization` is
    lambda in units of the mean square of an entry.
    """

    kind: ClassVar[str] = "ease"

    def __init__(self, config: EaseConfig) -> None:
        super().__init__(config)
        self._fitted_to: I32 = np.empty(0, np.int32)
        """(n_items,) entries of each item when its weights were regressed; of the sparse form alone."""

    def fit(self, data: TrainingData, *, seed: int = 0, threads: int = 0, progress: Progress | None = None) -> Self:
        """Solve for the weights. Nothing is random: `seed` changes nothing.

        Cost: exact n_items^3 multiply-adds and 12 n_items^2 bytes; sparse as `kernels.ridge.regress`. Measured in
        bench/ease.py.

        Raises
        ------
        EmptyData : no entry has weight > 0.
        TrainingFailed : the exact form does not fit in memory, or the matrix is not positive definite to float64.
        """
        del seed
        found = self._histories(data)
        if self._exact(data.interactions.n_items):
            self._learned = self._solved(found, cores(threads), progress)
        else:
            best = self._regressed(found, np.arange(found.items.n, dtype=np.int32), threads, progress)
            self._learned = ItemWeights(_by_source(*best, found.items.n), found.known)
            self._fitted_to = _entries_of(found)
        return self

    def update(self, data: TrainingData, users: I32, items: I32, *, threads: int = 0) -> Self:
        """Return a new model that knows `data`; see `Incremental.update`.

        The sparse form regresses again the changed items whose entries are new, or more or fewer by `GROWN`, and what
        is most like a new one; all else stays as it was. The exact form has no shorter way than a fit.

        Why not every changed item: 1 % of new events touch a sixth of Gowalla's items, the popular ones, whose weights
        rest on the other 99 %; to regress them all costs a quarter of a fit.
        """
        del users
        held, n_items = self._fitted(), data.interactions.n_items
        model = type(self)(self.config)
        if isinstance(held, DenseWeights) or self._exact(n_items):
            return model.fit(data, threads=threads)
        found = self._histories(data)
        now, before = _entries_of(found), np.zeros(n_items, np.int32)
        before[: len(self._fitted_to)] = self._fitted_to
        changed = items[np.abs(now[items] - before[items]) > GROWN * before[items]]
        new = changed[before[changed] == 0]
        beside = [best.items[best.items >= 0] for best in self._near(found, new, threads, None)]
        targets = np.unique(np.concatenate([changed, *beside])).astype(np.int32)
        model._fitted_to = before  # noqa: SLF001 - its own class
        before[targets] = now[targets]
        model._learned = self._renewed(held.flat(), found, targets, threads)  # noqa: SLF001
        return model

    def _renewed(self, near: Csr, found: _Histories, targets: I32, threads: int) -> ItemWeights:
        """Put new regressions of the targets in the place of the old."""
        if not len(targets) and near.n == found.items.n:
            return ItemWeights(near, found.known)
        source, target, value = self._regressed(found, targets, threads, None)
        kept = ~np.isin(near.cols, targets)
        rows = np.repeat(np.arange(near.n, dtype=np.int32), np.diff(near.indptr))[kept]
        source, target = np.concatenate([rows, source]), np.concatenate([near.cols[kept], target])
        value = np.concatenate([near.values[kept], value])
        return ItemWeights(_by_source(source, target, value, found.items.n), found.known)

    def save(self, folder: Path) -> None:
        """Write the weights into `folder`, and how many entries of each item the sparse form rests on."""
        super().save(folder)
        if isinstance(self._fitted(), ItemWeights):
            write_arrays(folder, fitted_to=self._fitted_to)

    @classmethod
    def load(cls, config: EaseConfig, folder: Path) -> Self:
        """Read what `save` wrote, memory-mapped.

        Raises
        ------
        BadArtifact : a file is missing or damaged.
        """
        forms = (folder / "weights.npy").exists(), (folder / "indptr.npy").exists()
        if forms[0] == forms[1]:
            raise BadArtifact(f"{folder.name}: expected weights.npy or indptr.npy", hint="train again, or roll back")
        model = cls(config)
        if forms[0]:
            model._learned = DenseWeights.load(folder)
            return model
        held = model._learned = ItemWeights.load(folder, signed=True)
        (model._fitted_to,) = read_arrays(folder, "fitted_to")
        counts = model._fitted_to
        check_shapes(folder, fitted_to=counts.dtype == np.int32 and counts.shape == held.known.shape)
        return model

    def _exact(self, n_items: int) -> bool:
        return self.config.inverse == "exact" or (self.config.inverse == "auto" and n_items <= self.config.exact_up_to)

    def _histories(self, data: TrainingData) -> _Histories:
        users = positive_rows(data.interactions, self.config.history_limit, self.kind)
        values = strength(users.values, WEIGHTING).astype(np.float64)
        scale = 1 / float(np.sqrt(np.mean(np.square(values))))
        users = users._replace(values=(scale * values).astype(np.float32))
        items = transposed(users, data.interactions.n_items)
        return _Histories(users, items, (np.diff(items.indptr) > 0).astype(np.uint8))

    def _solved(self, found: _Histories, threads: int, progress: Progress | None) -> DenseWeights:
        n = found.items.n
        need, free = 12 * n * n, available_bytes()
        if free is not None and need > free:
            raise TrainingFailed(
                f"{self.config.name}: the inverse over {n:,} items takes {need / 1e9:,.1f} GB, "
                f"{free / 1e9:,.1f} GB are free",
                hint='set inverse = "sparse" or a lower exact_up_to',
            )
        matrix = gram(found.users, found.items, threads=threads)
        matrix.flat[:: n + 1] += self.config.regularization
        if progress is not None:
            progress(1, 3)
        if not inverted(matrix):
            raise self._singular(f"X^T X over {n:,} items")
        if progress is not None:
            progress(2, 3)
        rows = weights(matrix, threads=threads)
        if progress is not None:
            progress(3, 3)
        return DenseWeights(rows, found.known)

    def _near(self, found: _Histories, targets: I32, threads: int, progress: Progress | None) -> Iterator[TopN]:
        """Find what each target is regressed on: the items nearest by cosine, shrunk as the regression shrinks."""
        space, unit = space_of(found.items, found.users.n, "plain")
        shrinkage = self.config.regularization
        k = min(self.config.neighbors, max(found.items.n - 1, 1))
        return nearest(
            unit, space.postings, space.norms, k, shrinkage, threads=threads, progress=progress, members=targets
        )

    def _regressed(
        self, found: _Histories, targets: I32, threads: int, progress: Progress | None
    ) -> tuple[I32, I32, F32]:
        """Regress the targets; returns source and target item, int32, and weight, float32, of what is not 0."""
        sources, goals, values = [np.empty(0, np.int32)], [np.empty(0, np.int32)], [np.empty(0, np.float32)]
        done = 0
        for best in self._near(found, targets, threads, progress):
            some = targets[done : done + len(best.items)]
            done += len(some)
            value, failed = regress(
                found.users, found.items, some, best.items, self.config.regularization, threads=cores(threads)
            )
            if failed:
                raise self._singular(f"the regressions of {failed} items")
            real = (best.items >= 0) & (value != 0)
            sources.append(best.items[real])
            goals.append(np.repeat(some, real.sum(axis=1)))
            values.append(value[real])
        return np.concatenate(sources), np.concatenate(goals), np.concatenate(values)

    def _singular(self, what: str) -> TrainingFailed:
        return TrainingFailed(
            f"{self.config.name}: {what} cannot be solved with regularization {self.config.regularization:g}",
            hint="raise regularization",
        )

    def _weighting(self) -> Weighting:
        return WEIGHTING


def _entries_of(found: _Histories) -> I32:
    """Count the entries of each item, (n_items,)."""
    return np.diff(found.items.indptr).astype(np.int32)


def inverted(matrix: F64) -> bool:
    """Invert a symmetric positive definite matrix in place, into its upper triangle; False = it is not, to float64.

    float64 (n, n), C order; n^3 / 3 multiply-adds for LAPACK's dpotrf and 2 n^3 / 3 for dpotri. The lower triangle is
    left as it comes.
    """
    turned = matrix.T  # in Fortran order nothing is copied, and its lower triangle is our upper one
    _, bad = lapack.dpotrf(turned, lower=1, clean=0, overwrite_a=1)
    if bad == 0:
        _, bad = lapack.dpotri(turned, lower=1, overwrite_c=1)
    return bool(bad == 0)


def _by_source(source: I32, target: I32, value: F32, n_items: int) -> Csr:
    """Lay weights out as rows by their source, best first, ties as they come.

    One key of both, and a stable sort: what is sorted already, as in an update, is only merged.
    """
    bits = (value + np.float32(0)).view(np.uint32)  # + 0: of -0.0 too
    rising = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))  # as unsigned numbers in the order of the floats
    order = np.argsort((source.astype(np.uint64) << np.uint64(32)) | ~rising, kind="stable")
    indptr = np.concatenate(([0], np.cumsum(np.bincount(source, minlength=n_items)))).astype(np.int64)
    return Csr(indptr, target[order], value[order])
