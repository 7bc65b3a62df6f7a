"""An index whose rows have changed a little since: the old one for what stayed, an exact scan for what did not.

In: an `Index`, and the rows that it has otherwise or not at all. Out: `TopN` of all rows. Why: building a graph again
for every increment would cost more than the increment, and a graph must not change while it is asked.

An update of ALS turns all vectors into another basis, x' = x T, and no score changes: q'.x' = (q' T^t).x. So T is kept
here, and a query is turned back before the old index sees it.
"""

from pathlib import Path
from typing import Self

import numpy as np

from recengine.errors import BadArtifact, ShapeError
from recengine.index import files
from recengine.index.files import Card
from recengine.index.neighbours import Index
from recengine.kernels import array, dot, positive
from recengine.types import F32, F64, I32, Mask, TopN

__all__ = ("KIND", "Patched")

KIND = "patched"
"""In the card of its folder; asked, it is of the kind of what it patches."""


class Patched:
    """Search an index beside rows that stand for some of its own, or come after them.

    Parameters
    ----------
    base : holds all rows up to `base.n`.
    rows : int32 (m,), ascending: what `vectors` are for.
    vectors : float32 (m, base.d); NaN = never found.
    turn : orthogonal float64 (base.d, base.d): `vectors` and queries stand in the basis of `base` times this; None = in
        the same one. Scores of rows of `base` are then right but for rounding, not to the bit.
    """

    def __init__(self, base: Index, rows: I32, vectors: F32, turn: F64 | None = None) -> None:
        self.base = base
        self.rows = rows
        self.turn = turn
        self._packed = dot.pack(vectors)
        self._replaced = rows[rows < base.n]

    @property
    def kind(self) -> str:
        """The kind of the base."""
        return self.base.kind

    @property
    def n(self) -> int:
        """Rows, new ones included."""
        return max(self.base.n, int(self.rows[-1]) + 1 if len(self.rows) else 0)

    @property
    def d(self) -> int:
        """Length of a vector."""
        return self.base.d

    @property
    def bytes(self) -> int:
        """Both parts."""
        return self.base.bytes + self._packed.rows.nbytes + self._packed.panels.nbytes + self.rows.nbytes

    def search(self, queries: F32, n: int, mask: Mask | None = None, *, threads: int = 1) -> TopN:
        """Pick the n rows with the largest inner products; see `Index.search`.

        Cost: that of the base, a copy of the mask, and an exact scan of the changed rows.
        """
        queries, n = array("queries", queries, np.dtype(np.float32), None, self.d), positive("n", n)
        mine = None
        if mask is not None:
            mask = array("mask", mask, np.dtype(np.uint8), len(queries), None)
            if mask.shape[1] < self.n:
                wanted = f"uint8 ({len(queries)}, at least {self.n})"
                raise ShapeError(f"mask: expected {wanted}, got uint8 {mask.shape}")
            mine = np.ascontiguousarray(mask[:, self.rows])
        if not len(self.rows):  # it is only turned
            return self.base.search(self._turned_back(queries), n, mask, threads=threads)
        kept = np.ones((len(queries), self.base.n), np.uint8) if mask is None else mask[:, : self.base.n].copy()
        kept[:, self._replaced] = 0
        old = self.base.search(self._turned_back(queries), n, kept, threads=threads)
        new = dot.dot_topk(queries, self._packed, n, mine, threads=threads)
        rows = np.where(new.items >= 0, self.rows[np.maximum(new.items, 0)], -1).astype(np.int32)
        return _merged(old, TopN(rows, new.scores), n)

    def _turned_back(self, queries: F32) -> F32:
        if self.turn is None or not len(queries):
            return queries
        # one at a time: a product of matrices would round by the size of the batch
        return np.stack([self.turn @ query for query in queries.astype(np.float64)]).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write the changed rows and the turn, and the base into a folder of its own."""
        turned = {} if self.turn is None else {"turn": self.turn}
        card = Card(kind=KIND, n=self.n, d=self.d)
        files.write_over(folder, card, self.base, rows=self.rows, vectors=self._packed.rows, **turned)

    @classmethod
    def load(cls, folder: Path, card: Card, base: Index) -> Self:
        """Read what `save` wrote, but for `base`, which the caller has read from `folder / files.BASE`.

        Raises
        ------
        BadArtifact : a file is missing or has the wrong shape, or the rows are not those of `base`.
        """
        rows = files.read_array(folder, card, "rows", np.int32, None)
        vectors = files.read_array(folder, card, "vectors", np.float32, len(rows), card.d)
        turn = files.read_array(folder, card, "turn", np.float64, card.d, card.d) if "turn.npy" in card.files else None
        found = cls(base, rows, vectors, turn)
        ascending = bool((np.diff(rows) > 0).all()) and (len(rows) == 0 or rows[0] >= 0)
        if not ascending or base.d != card.d or found.n != card.n:
            raise BadArtifact(f"{folder.name}: changed rows of another index", hint="train again, or roll back")
        return found


def _merged(one: TopN, other: TopN, n: int) -> TopN:
    """Take the n best of both, best first, ties to the lower row; NaN comes last."""
    items, scores = np.concatenate((one.items, other.items), axis=1), np.concatenate((one.scores, other.scores), axis=1)
    best = np.lexsort((items, -scores), axis=1)[:, :n]
    return TopN(np.take_along_axis(items, best, axis=1), np.take_along_axis(scores, best, axis=1))
