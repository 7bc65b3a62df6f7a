"""An index over the principal directions of vectors: fewer numbers to compare, the best scored again by all of them.

In: vectors and how many directions to keep. Out: the n largest inner products, as far as the directions tell; their
scores are those of the whole rows.

The directions are eigenvectors of X^T X, not centred: of all projections on so many they leave the least of the rows'
squares behind (Eckart and Young 1936). With P = B B^T, q.x = (B^T q).(B^T x) + ((I - P) q).((I - P) x): what the
projection gets wrong of a row is at most |(I - P) q| |(I - P) x|. No search ends by that bound, which real vectors come
nowhere near: how many rows are scored again is measured, and doubted under a mask, as in the other kinds.

Why nothing switches it on by itself: ALS spreads its items over all its factors (Gowalla, 64 factors: half of them hold
.61 of the squares), and what is kept has to be searched much wider. It pays where vectors come from elsewhere, or have
more factors than the data can fill.
"""

from pathlib import Path
from typing import Self

import numpy as np

from recengine.errors import BadArtifact
from recengine.index import files
from recengine.index.files import Card
from recengine.index.narrowing import WholeRows, widened
from recengine.index.neighbours import Index
from recengine.kernels import array, positive
from recengine.types import F32, F64, Mask, TopN

__all__ = ("KIND", "Projected", "directions", "projected")

KIND = "projected"
"""In the card of its folder; asked, it is of the kind of what it narrows."""
RERANK = 3
"""Rows scored again for each that is wanted, where nothing was measured."""


class Projected(WholeRows):
    """Search `base` by projected queries, and score what it finds by whole vectors.

    Parameters
    ----------
    rows : (n, d) float32, read-only; NaN rows are never found.
    basis : (d, base.d) float64, orthonormal columns.
    base : over `projected(rows, basis)`.
    rerank : rows scored again for each that is wanted.
    """

    def __init__(self, rows: F32, basis: F64, base: Index, rerank: int) -> None:
        super().__init__(rows, rerank)
        self.basis = basis
        self.base = base

    @property
    def kind(self) -> str:
        """The kind of the base."""
        return self.base.kind

    @property
    def bytes(self) -> int:
        """The base, the whole rows and the directions."""
        return self.base.bytes + self.rows.nbytes + self.basis.nbytes

    def with_effort(self, effort: int) -> Self:
        """Return the same index that scores so many rows again for each that is wanted."""
        return type(self)(self.rows, self.basis, self.base, effort)

    def search(self, queries: F32, n: int, mask: Mask | None = None, *, threads: int = 1) -> TopN:
        """Pick the n rows with the largest inner products; see `Index.search`."""
        queries, n = array("queries", queries, np.dtype(np.float32), None, self.d), positive("n", n)

        def look(some: F32, many: int, hidden: Mask | None) -> tuple[TopN, Mask]:
            # one at a time: a product of matrices would round by the size of the batch
            asked = np.array([query @ self.basis for query in some.astype(np.float64)], np.float32)
            found = self.base.search(asked.reshape(len(some), self.base.d), many, hidden, threads=threads)
            return found, np.ones(len(some), np.uint8)

        return widened(look, queries, self.rows, n, n * self.rerank, mask, threads=threads)

    def save(self, folder: Path) -> None:
        """Write the whole rows and the directions, and the base into a folder of its own."""
        card = Card(kind=KIND, n=self.n, d=self.d, settings={"rerank": self.rerank})
        files.write_over(folder, card, self.base, vectors=self.rows, basis=self.basis)

    @classmethod
    def load(cls, folder: Path, card: Card, base: Index) -> Self:
        """Read what `save` wrote, but for `base`, which the caller has read from `folder / files.BASE`.

        Raises
        ------
        BadArtifact : a file is missing or has the wrong shape, or `base` is one of other rows.
        """
        rows = files.read_array(folder, card, "vectors", np.float32, card.n, card.d)
        basis = files.read_array(folder, card, "basis", np.float64, card.d, None)
        if base.n != card.n or base.d != basis.shape[1]:
            raise BadArtifact(f"{folder.name}: directions of another index", hint="train again, or roll back")
        return cls(rows, basis, base, files.whole(folder, card, "rerank"))


def directions(rows: F32, keep: int) -> F64:
    """Return the `keep` principal directions of finite (n, d) float32 `rows`: (d, keep) float64, the strongest first.

    Cost: n d^2 multiply-adds and one eigendecomposition.
    """
    gram = np.zeros((rows.shape[1], rows.shape[1]))
    for first in range(0, len(rows), 65_536):
        part = rows[first : first + 65_536].astype(np.float64)
        gram += part.T @ part
    return np.ascontiguousarray(np.linalg.eigh(gram)[1][:, ::-1][:, :keep])


def projected(rows: F32, basis: F64) -> F32:
    """Return the coordinates of `rows` in the directions, float32 (n, keep); NaN rows stay NaN."""
    return np.ascontiguousarray(rows @ basis, dtype=np.float32)
