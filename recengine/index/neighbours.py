"""What every index of nearest neighbours does, whatever it is made of.

Floor 2. In: vectors of items once, vectors of queries often. Out: `TopN` by inner product.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from recengine.types import F32, Mask, TopN

__all__ = ("Index", "Progress")

Progress: TypeAlias = Callable[[int, int], None]
"""`progress(done, total)`, called from the building thread at most a few times a second."""


@runtime_checkable
class Index(Protocol):
    """Finds the rows with the largest inner products; built aside, swapped whole, never changed."""

    @property
    def kind(self) -> str:
        """What it is: exact, int8, hnsw or pq."""
        ...

    @property
    def n(self) -> int:
        """Rows, those that are never found (not finite) included."""
        ...

    @property
    def d(self) -> int:
        """Length of a vector."""
        ...

    @property
    def bytes(self) -> int:
        """Memory that a search reads from, the vectors themselves included where they are read."""
        ...

    def search(self, queries: F32, n: int, mask: Mask | None = None, *, threads: int = 1) -> TopN:
        """Pick the n rows with the largest inner products for every query.

        Parameters
        ----------
        queries : (B, d) float32; a row with NaN finds nothing.
        n : >= 1; what cannot be filled holds item -1 and score NaN.
        mask : (B, at least `Index.n`) uint8, 0 = may not be picked; what an approximate index finds among the
            allowed rows is held to the same recall.
        threads : of the scan; the answer does not depend on it.

        Returns
        -------
        items (B, n) int32 and scores (B, n) float32, best first, equal scores by lower row. Scores are inner
        products in float32, bit-equal to those of `kernels.dot`.

        Raises
        ------
        ShapeError : an argument has the wrong shape or dtype.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write into the existing, empty `folder` what `index.load` reads."""
        ...
