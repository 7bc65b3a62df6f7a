"""Truncated SVD of the interactions: PureSVD, and with degree weights the ideal low-pass filter of GF-CF.

Stands on floor 3, used by both spines. In: `Interactions`. Out: item vectors V, scaled; a user is its history projected
on them, so a folded-in history gets what training would have given it, bit for bit. Score (Cremonesi, Koren, Turrin
2010, eq. 9): s_ui = r_u V v_i. Nothing of a user's row is learned, so new users lose nothing.

Found by block power iteration from a random start (Halko, Martinsson, Tropp 2011, algorithms 4.4 and 5.1). Why the
Gram matrix orthogonalises instead of a QR: it is a product that runs at full speed, and an eigenbasis of 80 x 80; the
directions that float32 cannot tell from noise are left out.
"""

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from scipy import sparse

from recengine.algorithms import factors
from recengine.algorithms.base import Progress
from recengine.algorithms.weighting import How, fold_weights, unscaled, weighted
from recengine.config import Svd as SvdConfig
from recengine.errors import TrainingFailed
from recengine.kernels import als as dense
from recengine.kernels import cores
from recengine.kernels import sparse as kernel
from recengine.types import F32, F64, I32, I64, Evidence, Interactions, Query, TrainingData

__all__ = ("Svd", "truncated")

NOISE = 1e-6
"""Squared singular values below this share of the largest are rounding errors of float32."""

FLAT = 1e-5
"""A block keeps its weakest direction over A^T A without being made orthogonal in between, where sigma^4 of it is more
than this share of the strongest one's: well above `NOISE`. That saves a sixth of the time."""

MOST_OF_RANK = 2
"""At most one vector for so many users or items, whichever are fewer: all of them give every history back as it was."""


class Svd(factors.FactorModel[SvdConfig, "_Projection"]):
    """Project users on the leading singular vectors of the weighted interactions.

    Parameters
    ----------
    config : `recengine.config.Svd`.
    learned : what an earlier fit left; None = nothing yet.
    """

    kind: ClassVar[str] = "svd"

    def fit(self, data: TrainingData, *, seed: int = 0, threads: int = 0, progress: Progress | None = None) -> Self:
        """Learn the vectors; the same seed gives the same bits, whatever `threads` (0 = all cores).

        Cost: 2 (iterations + 1) passes of entries * (factors + oversampling) multiply-adds, and as many Gram matrices.

        Raises
        ------
        EmptyData : no entry has a weight above 0.
        TrainingFailed : a weight is not a finite number.
        """
        config, rows, team = self.config, data.interactions, cores(threads)
        what = weighted(rows, config.weighting, self.kind)
        smaller = min(np.count_nonzero(np.diff(rows.indptr)), np.count_nonzero(what.seen))
        rank = min(config.factors, max(1, int(smaller // MOST_OF_RANK)))
        steps = config.oversampling, config.iterations
        vectors, squares = truncated(what.matrix, rank, *steps, seed=seed, threads=team, progress=progress)
        width = dense.padded(config.factors)
        items, spectrum = dense.blank(rows.n_items, width), np.zeros(width, np.float32)
        items[:, :rank], spectrum[:rank] = vectors * what.scale[:, None], squares
        items[~what.seen] = np.nan
        if not np.isfinite(items[what.seen]).all():
            raise TrainingFailed("svd: the vectors are not finite", hint="look for huge event weights")
        fold = _Projection(what.entry, spectrum, config.weighting)
        self._learned = factors.Learned(fold(items, rows, team), items, fold)
        return self

    def explain(self, query: Query, row: int, item: int, top: int = 3) -> tuple[Evidence, ...]:
        """Split the score over the history: entry j adds w_j l_j (v_j . v_item); the weights sum to the score."""
        learned = self._fitted()
        items, weights = learned.usable(query.history, row)
        if item >= len(learned.items) or not (weights > 0).any() or np.isnan(learned.items[item, 0]):
            return ()
        history = Interactions(1, len(learned.items), np.array([0, len(items)]), items, weights, np.zeros(0, np.int64))
        speaks = fold_weights(history, learned.fold.entry, learned.fold.how).astype(np.float64)
        shares = speaks * (learned.items[items].astype(np.float64) @ learned.items[item].astype(np.float64))
        order = np.lexsort((items, -shares))[:top]  # a dislike may speak too: by what is unlike it
        return tuple(Evidence("because_of", int(items[j]), float(shares[j])) for j in order)

    def update(self, data: TrainingData, users: I32, items: I32, *, threads: int = 0) -> Self:
        """Project changed users anew, and new items on what their users span: v_i = Sigma^-2 V^T A^T a_i.

        See `Incremental`. Known items keep their vectors: what turns them is learned by the next full fit.
        Cost: entries of the changed users, and of the users of new items, * width.

        Raises
        ------
        TrainingFailed : a weight is not a finite number.
        """
        learned, rows, team = self._fitted(), data.interactions, cores(threads)
        how, spectrum = self.config.weighting, learned.fold.spectrum
        what = weighted(rows, how, self.kind)
        vectors, entry = factors.grown(learned.items, rows.n_items), factors.grown(learned.fold.entry, rows.n_items)
        fresh = items[np.isnan(vectors[items, 0]) & what.seen[items]]
        if len(fresh):
            theirs = what.matrix[:, fresh].tocsc()
            touched = what.matrix[np.unique(theirs.indices)]
            spread = kernel.product(unscaled(vectors, entry, how), *_csr(touched), threads=team)
            turned = touched[:, fresh].T.tocsr()
            sums = kernel.product(spread, *_csr(turned), threads=team)
            with np.errstate(divide="ignore", invalid="ignore"):
                new = np.where(spectrum > 0, sums / spectrum, np.float32(0))
            vectors[fresh], entry[fresh] = new * what.scale[fresh, None], what.entry[fresh]
        fold = _Projection(entry, spectrum, how)
        folded = factors.refolded(learned.users, fold, vectors, rows, users, team)
        return type(self)(self.config, factors.Learned(folded, vectors, fold))

    def save(self, folder: Path) -> None:
        """Write users.npy, items.npy (padded to 16 k), entry.npy (what an entry of each item weighs), spectrum.npy."""
        learned = self._fitted()
        learned.save(folder, entry=learned.fold.entry, spectrum=learned.fold.spectrum)

    @classmethod
    def load(cls, config: SvdConfig, folder: Path) -> Self:
        """Read what `save` wrote, memory-mapped.

        Raises
        ------
        BadArtifact : a file is missing or has the wrong shape.
        """
        width = dense.padded(config.factors)
        own: dict[str, factors.Expected] = {"entry": (np.float32, (None,)), "spectrum": (np.float32, (width,))}
        users, items, entry, spectrum = factors.read(folder, width, **own)
        return cls(config, factors.Learned(users, items, _Projection(entry, spectrum, config.weighting)))


class _Projection:
    """Projects histories: the sum of the items' vectors, each times what its entry weighs.

    `entry` (n_items,) float32, see `Weighted`; `spectrum` (width,) float32, the squared singular values.
    """

    def __init__(self, entry: F32, spectrum: F32, how: How) -> None:
        self.entry = entry
        self.spectrum = spectrum
        self.how = how

    def __call__(self, items: F32, history: Interactions, threads: int) -> F32:
        weights = fold_weights(history, self.entry, self.how)
        return kernel.product(items, history.indptr, history.items, weights, cold_nan=True, threads=threads)


def truncated(
    matrix: sparse.csr_matrix,
    rank: int,
    oversampling: int,
    iterations: int,
    *,
    seed: int,
    threads: int,
    progress: Progress | None = None,
) -> tuple[F32, F32]:
    """Find the leading right singular vectors of a sparse matrix (n, m).

    Returns
    -------
    V float32 (m, rank), strongest first, zero columns beyond the matrix' own rank; and the squared singular values,
    float32 (rank,). `rank` is at most min(n, m).
    """
    n, m = matrix.shape
    wide = min(rank + oversampling, n, m)
    rows = _csr(matrix)
    turned = sparse.csr_matrix(matrix.T)
    columns = _csr(turned)
    start = dense.blank(m, dense.padded(wide))
    start[:, :wide] = np.random.default_rng(seed).standard_normal((m, wide), dtype=np.float32)
    flat = False
    for done in range(iterations + 1):
        spread = kernel.product(start, *rows, threads=threads)
        if not flat or done == iterations:
            _orthogonal(spread, threads)
        start = kernel.product(spread, *columns, threads=threads)
        if done < iterations:
            squares = _orthogonal(start, threads)[-wide:]
            if not flat:  # these are sigma^2; after two factors at once they will be sigma^4
                flat = bool(squares[0] ** 2 > FLAT * squares[-1] ** 2)
        if progress is not None:
            progress(done + 1, iterations + 1)
    squares = _orthogonal(start, threads)
    return start[:, ::-1][:, :rank], squares[::-1][:rank].astype(np.float32)


def _orthogonal(block: F32, threads: int) -> F64:
    """Turn the columns, in place, into orthonormal ones that span the same, weakest first; zeros where they are noise.

    Returns the squared singular values of the block, rising, 0 for noise.
    """
    values, basis = dense.eigenbasis(dense.gram(block, threads=threads))
    kept = values > NOISE * max(values[-1], 0.0)
    scale = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    dense.rotate(block, np.asarray(basis * scale, dtype=np.float32), threads=threads)
    return np.asarray(np.where(kept, values, 0.0), dtype=np.float64)


def _csr(matrix: sparse.csr_matrix) -> tuple[I64, I32, F32]:
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data
