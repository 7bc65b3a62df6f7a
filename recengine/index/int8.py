"""The int8 index: all rows by one byte a factor, the best of them again in float32.

In: vectors. Out: the n largest inner products but for what the rounding hid; with a few rows scored again for each that
is wanted, recall@100 is 1.000 among a million rows (`bench.retrieval`). A query that has no bytes (see
`kernels.scan.bytes_topm`) is answered exactly from the rows.
"""

from pathlib import Path
from typing import Self

import numpy as np

from recengine.errors import BadArtifact
from recengine.index import files
from recengine.index.files import Card
from recengine.index.narrowing import WholeRows, narrow, rescored, widened
from recengine.kernels import array, positive, scan
from recengine.kernels.dot import Sketch, sketch
from recengine.types import F32, Mask, TopN

__all__ = ("Int8",)

RERANK = 3
"""Rows scored again for each that is wanted, where the configuration does not say."""
ALLOWED = 1 / 32
"""Of the rows: up to so many allowed ones are scored directly. A row met by chance costs four cache lines and their
latency, a row of the scan one line in its turn."""


class Int8(WholeRows):
    """Scan all rows in bytes.

    Parameters
    ----------
    rows : (n, d) float32, read-only.
    codes : of `kernels.dot.sketch`; None where there is nothing to scan.
    rerank : rows scored again for each that is wanted.
    """

    kind = "int8"

    def __init__(self, rows: F32, codes: Sketch | None, rerank: int) -> None:
        super().__init__(rows, rerank)
        self._codes = codes

    @classmethod
    def build(cls, vectors: F32, rerank: int | None = None) -> Self:
        """Round (n, d) float32 `vectors`, of which a copy is kept; rows with NaN are never found."""
        return cls(np.array(vectors, order="C"), sketch(vectors), rerank or RERANK)

    @property
    def bytes(self) -> int:
        """Codes and rows."""
        codes = self._codes
        parts = (codes.codes, codes.scales, codes.ids, codes.bounds) if codes is not None else ()
        return sum(part.nbytes for part in (self.rows, *parts))

    def search(self, queries: F32, n: int, mask: Mask | None = None, *, threads: int = 1) -> TopN:
        """Pick the n rows with the largest inner products; see `Index.search`."""
        queries = array("queries", queries, np.dtype(np.float32), None, self.d)
        n, codes = positive("n", n), self._codes
        if codes is None or not len(codes.codes):
            return rescored(queries, self.rows, None, n, mask, threads=threads)

        def look(some: F32, many: int, hidden: Mask | None) -> tuple[TopN, Mask]:
            return scan.bytes_topm(some, codes, self.n, many, hidden, threads=threads)

        def wide(some: F32, hidden: Mask | None) -> TopN:
            return widened(look, some, self.rows, n, n * self.rerank, hidden, threads=threads)

        return narrow(wide, queries, self.rows, n, mask, int(ALLOWED * self.n), threads=threads)

    def with_effort(self, effort: int) -> Self:
        """Return the same index that scores so many rows again for each that is wanted."""
        return type(self)(self.rows, self._codes, effort)

    def save(self, folder: Path) -> None:
        """Write vectors.npy and the codes."""
        self.save_as(self.kind, folder)

    def save_as(self, kind: str, folder: Path, **settings: int) -> None:
        """Write the same as a part of an index of another kind, which has put its own files there before."""
        codes = self._codes
        parts = {} if codes is None else {key: getattr(codes, key) for key in Sketch.__struct_fields__}
        card = Card(kind=kind, n=self.n, d=self.d, settings={"rerank": self.rerank, **settings})
        files.write(folder, card, vectors=self.rows, **parts)

    @classmethod
    def load(cls, folder: Path, card: Card) -> Self:
        """Read what `save` wrote, memory-mapped.

        Raises
        ------
        BadArtifact : a file is missing or has the wrong shape.
        """
        rows = files.read_array(folder, card, "vectors", np.float32, card.n, card.d)
        return cls(rows, _load_codes(folder, card), files.whole(folder, card, "rerank"))


def _load_codes(folder: Path, card: Card) -> Sketch | None:
    """Read the codes that `save` wrote; None where there are none.

    Raises
    ------
    BadArtifact : a file is missing or has the wrong shape.
    """
    if "codes.npy" not in card.files:
        return None
    codes = files.read_array(folder, card, "codes", np.uint8, None, -(-card.d // 4), 16, 4)
    panels = len(codes)
    ids = files.read_array(folder, card, "ids", np.int32, 16 * panels)
    if panels and (ids.min() < -1 or ids.max() >= card.n):
        raise BadArtifact(f"{folder.name}/ids.npy: a row is outside 0 .. {card.n - 1}", hint="train again")
    scales = files.read_array(folder, card, "scales", np.float32, 16 * panels)
    return Sketch(codes, scales, ids, files.read_array(folder, card, "bounds", np.float32, 2, panels))
