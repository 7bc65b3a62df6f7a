"""An index over the principal directions of vectors: fewer numbers to compare, the best scored again by all of them.

In: vectors and how many directions to keep. Out: the n largest inner products, as far as the directions tell; their
scores are those of the whole rows.

The directions are eigenvectors of X^T X, not centred: of all projections on so many they leave the least of the rows'
squares behind (Eckart and Young 1936). With P = B B^T, q.x = (B^T q).(B^T x) + ((I - P) q).((I - P) x): what the
projection gets wrong is at most |(I - P) q| times the largest |(I - P) x|, which is `error`.

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
from recengine.index.narrowing import rescored
from recengine.index.neighbours import Index
from recengine.kernels import array, positive
from recengine.types import F32, F64, Mask, TopN

__all__ = ("BASE", "KIND", "Projected", "directions", "projected")

KIND = "projected"
"""In the card of its folder; asked, it is of the kind of what it narrows."""
BASE = "base"
RERANK = 3
"""Rows scored again for each that is wanted, where nothing was measured."""


class Projected:
    """Search `base` by projected queries, and score what it finds by whole vectors.

    Parameters
    ----------
    rows : (n, d) float32, read-only; NaN rows are never found.
    basis : (d, base.d) float64, orthonormal columns.
    base : over `projected(rows, basis)`.
    rerank : rows scored again for each that is wanted.
    """

    def __init__(self, rows: F32, basis: F64, base: Index, rerank: int) -> None:
        self._rows = rows
        self.basis = basis
        self.base = base
        self._rerank = rerank

    @property
    def kind(self) -> str:
        """The kind of the base."""
        return self.base.kind

    @property
    def n(self) -> int:
        """Rows."""
        return len(self._rows)

    @property
    def d(self) -> int:
        """Length of a whole vector."""
        return int(self._rows.shape[1])

    @property
    def bytes(self) -> int:
        """The base, the whole rows and the directions."""
        return self.base.bytes + self._rows.nbytes + self.basis.nbytes

    @property
    def error(self) -> float:
        """The largest norm that a row has outside of the directions; times a query's there, it bounds what is lost."""
        rest = self._rows - projected(self._rows, self.basis) @ self.basis.T
        return float(np.sqrt(np.nanmax(np.einsum("ij,ij->i", rest, rest), initial=0.0)))

    def with_effort(self, effort: int) -> Self:
        """Return the same index that scores so many rows again for each that is wanted."""
        return type(self)(self._rows, self.basis, self.base, effort)

    def search(self, queries: F32, n: int, mask: Mask | None = None, *, threads: int = 1) -> TopN:
        """Pick the n rows with the largest inner products; see `Index.search`."""
        queries, n = array("queries", queries, np.dtype(np.float32), None, self.d), positive("n", n)
        # one at a time: a product of matrices would round by the size of the batch
        asked = np.array([query @ self.basis for query in queries.astype(np.float64)], np.float32)
        many = max(min(n * self._rerank, self.n), n)
        found = self.base.search(asked.reshape(len(queries), self.base.d), many, mask, threads=threads)
        return rescored(queries, self._rows, found.items, n, threads=threads)

    def save(self, folder: Path) -> None:
        """Write the whole rows and the directions, and the base into a folder of its own."""
        card = Card(kind=KIND, n=self.n, d=self.d, settings={"rerank": self._rerank, "error": self.error})
        files.write(folder, card, vectors=self._rows, basis=self.basis)
        (folder / BASE).mkdir()
        self.base.save(folder / BASE)

    @classmethod
    def load(cls, folder: Path, card: Card, base: Index) -> Self:
        """Read what `save` wrote, but for `base`, which the caller has read from `folder / BASE`.

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
