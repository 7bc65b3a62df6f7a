"""The exact index: every row is a candidate; see `kernels.dot` for how few of them are looked at whole.

In: vectors. Out: the n largest inner products, no approximation.
"""

from pathlib import Path
from typing import Self

import numpy as np

from recengine.index import files
from recengine.index.files import Card
from recengine.kernels import dot
from recengine.types import F32, Mask, TopN

__all__ = ("Exact",)


class Exact:
    """Scan all rows in float32.

    Parameters
    ----------
    packed : of `kernels.dot.pack`.
    """

    kind = "exact"

    def __init__(self, packed: dot.Packed) -> None:
        self._packed = packed

    @classmethod
    def build(cls, vectors: F32) -> Self:
        """Lay (n, d) float32 `vectors` out; rows with NaN are never found. Cost: 2.3 times their memory."""
        return cls(dot.pack(vectors))

    @property
    def n(self) -> int:
        """Rows."""
        return self._packed.n

    @property
    def d(self) -> int:
        """Length of a vector."""
        return self._packed.factors

    @property
    def bytes(self) -> int:
        """Rows, panels and their sketch."""
        sketch = self._packed.sketch
        parts = (sketch.codes, sketch.scales, sketch.ids, sketch.bounds) if sketch is not None else ()
        return sum(part.nbytes for part in (self._packed.rows, self._packed.panels, *parts))

    def search(self, queries: F32, n: int, mask: Mask | None = None, *, threads: int = 1) -> TopN:
        """Pick the n rows with the largest inner products; see `Index.search`."""
        return dot.dot_topk(queries, self._packed, n, mask, threads=threads)

    def save(self, folder: Path) -> None:
        """Write vectors.npy; the layout is made again when it is loaded."""
        files.write(folder, Card(kind=self.kind, n=self.n, d=self.d), vectors=self._packed.rows)

    @classmethod
    def load(cls, folder: Path, card: Card) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        BadArtifact : a file is missing or has the wrong shape.
        """
        return cls(dot.pack(files.read_array(folder, card, "vectors", np.float32, card.n, card.d)))
