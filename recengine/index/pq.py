"""Product quantization: 16 bytes a row are scanned, the best of them scored again in float32.

In: vectors. Out: the n largest inner products, as far as the codes tell. Only the codes need memory: the rows are read
where they may matter, and stay in their file after `load`.

The rotation before the cut is learned with the codes: principal directions first, dealt out so that every part carries
the same, then the best orthogonal map for the codes at hand, in turns (Ge, He, Ke, Sun 2013, "Optimized Product
Quantization", sections 3.1 and 3.2).
"""

from pathlib import Path
from typing import Self

import numpy as np

from recengine.errors import BadArtifact
from recengine.index import files
from recengine.index.files import Card
from recengine.index.narrowing import WholeRows, narrow, rescored, widened
from recengine.index.neighbours import Progress
from recengine.kernels import array, positive, quantized
from recengine.kernels.quantized import CODES, SUBS, Quantized
from recengine.types import F32, Mask, TopN

__all__ = ("Pq",)

RERANK = 20
"""Rows scored again for each that is wanted, where the configuration does not say."""
LEAST = 100
"""So many count as wanted, where fewer are: recall was measured there, and the few best are the hardest to hold."""
SAMPLE = 40_000
"""Rows that centroids and rotation are learned from."""
TURNS, STEPS, LAST = 10, 3, 20
"""Turns of rotation and centroids, k-means rounds of a turn, and of the end."""
ALLOWED = 1 / 64
"""Of the rows: up to so many allowed ones are scored directly."""
CHUNK = 65_536


class Pq(WholeRows):
    """Scan all rows in 16 bytes.

    Parameters
    ----------
    rows : (n, d) float32, read-only.
    codes : of `kernels.quantized.lay_out`; None where no row is finite or there is no factor.
    rerank : rows scored again for each that is wanted.
    """

    kind = "pq"

    def __init__(self, rows: F32, codes: Quantized | None, rerank: int) -> None:
        super().__init__(rows, rerank)
        self._codes = codes

    @classmethod
    def build(
        cls,
        vectors: F32,
        rerank: int | None = None,
        *,
        seed: int = 0,
        threads: int = 1,
        progress: Progress | None = None,
    ) -> Self:
        """Learn from (n, d) float32 `vectors`, of which a copy is kept, and encode them; rows with NaN are left out.

        Cost: 7 s on two threads for a million rows of 64 (`bench.retrieval`).
        """
        report = progress or _silent
        rows = np.array(vectors, order="C")
        usable = np.flatnonzero(~np.isnan(rows).any(axis=1)).astype(np.int32)
        if not len(usable) or not rows.shape[1]:
            return cls(rows, None, rerank or RERANK)
        rng = np.random.default_rng(seed)
        sample = rows[np.sort(rng.choice(usable, min(SAMPLE, len(usable)), replace=False))]
        rotation, centroids = _learn(sample, rng, threads, report)
        codes = np.empty((len(usable), SUBS), np.uint8)
        for first in range(0, len(usable), CHUNK):
            part = usable[first : first + CHUNK]
            codes[first : first + CHUNK] = quantized.encode(rows[part] @ rotation, centroids, threads=threads)
            report(TURNS + 1 + first * TURNS // len(usable), 2 * TURNS + 1)
        report(2 * TURNS + 1, 2 * TURNS + 1)
        return cls(rows, quantized.lay_out(rotation, centroids, codes, usable), rerank or RERANK)

    @property
    def bytes(self) -> int:
        """Codes, their tables, and rows."""
        codes = self._codes
        parts = () if codes is None else (codes.codes, codes.ids, codes.norms, codes.centroids, codes.rotation)
        return sum(part.nbytes for part in (self.rows, *parts))

    def with_effort(self, effort: int) -> Self:
        """Return the same index that scores so many rows again for each that is wanted."""
        return type(self)(self.rows, self._codes, effort)

    def search(self, queries: F32, n: int, mask: Mask | None = None, *, threads: int = 1) -> TopN:
        """Pick the n rows with the largest inner products; see `Index.search`."""
        queries = array("queries", queries, np.dtype(np.float32), None, self.d)
        n, codes = positive("n", n), self._codes
        if codes is None:
            return rescored(queries, self.rows, None, n, mask, threads=threads)

        def look(some: F32, many: int, hidden: Mask | None) -> tuple[TopN, Mask]:
            return quantized.adc_topm(some, codes, self.n, many, hidden, threads=threads)

        def wide(some: F32, hidden: Mask | None) -> TopN:
            return widened(look, some, self.rows, n, max(n, LEAST) * self.rerank, hidden, threads=threads)

        return narrow(wide, queries, self.rows, n, mask, int(ALLOWED * self.n), threads=threads)

    def save(self, folder: Path) -> None:
        """Write vectors.npy, the codes and their tables."""
        codes = self._codes
        parts = {} if codes is None else {key: getattr(codes, key) for key in Quantized.__struct_fields__}
        card = Card(kind=self.kind, n=self.n, d=self.d, settings={"rerank": self.rerank})
        files.write(folder, card, vectors=self.rows, **parts)

    @classmethod
    def load(cls, folder: Path, card: Card) -> Self:
        """Read what `save` wrote, memory-mapped.

        Raises
        ------
        BadArtifact : a file is missing or has the wrong shape.
        """
        rows = files.read_array(folder, card, "vectors", np.float32, card.n, card.d)
        rerank = files.whole(folder, card, "rerank")
        if "codes.npy" not in card.files:
            return cls(rows, None, rerank)
        w = -(-card.d // SUBS)
        codes = files.read_array(folder, card, "codes", np.uint8, None, SUBS, 16)
        ids = files.read_array(folder, card, "ids", np.int32, 32 * len(codes))
        if len(ids) and (ids.min() < -1 or ids.max() >= card.n):
            raise BadArtifact(f"{folder.name}/ids.npy: a row is outside 0 .. {card.n - 1}", hint="train again")
        rotation = files.read_array(folder, card, "rotation", np.float32, card.d, SUBS * w)
        centroids = files.read_array(folder, card, "centroids", np.float32, SUBS, CODES, w)
        norms = files.read_array(folder, card, "norms", np.float32, len(codes))
        return cls(rows, Quantized(rotation, centroids, codes, ids, norms), rerank)


def _learn(sample: F32, rng: np.random.Generator, threads: int, report: Progress) -> tuple[F32, F32]:
    """Learn rotation (d, 32 w) and centroids (32, 16, w) from rows."""
    d = sample.shape[1]
    w = -(-d // SUBS)
    values, directions = np.linalg.eigh(sample.T.astype(np.float64) @ sample)
    rotation = np.zeros((d, SUBS * w), np.float32)
    load, room = np.zeros(SUBS), np.full(SUBS, w)
    for k in np.argsort(-values, kind="stable"):  # the largest left goes to the part that carries least
        part = int(np.argmin(np.where(room > 0, load, np.inf)))
        rotation[:, part * w + w - room[part]] = directions[:, k]
        load[part] += np.log(max(values[k], 1e-30) / max(values[-1], 1e-30)) + 70.0  # the product of variances counts
        room[part] -= 1
    turned = sample @ rotation
    start = turned[rng.choice(len(turned), CODES, replace=len(turned) < CODES)]
    centroids = np.ascontiguousarray(start.reshape(CODES, SUBS, w).transpose(1, 0, 2))
    for turn in range(TURNS):
        report(turn, 2 * TURNS + 1)
        centroids = quantized.lloyd(turned, centroids, STEPS, threads=threads)
        codes = quantized.encode(turned, centroids, threads=threads)
        stands_for = centroids[np.arange(SUBS), codes].reshape(len(sample), SUBS * w)
        left, _, right = np.linalg.svd(sample.T.astype(np.float64) @ stands_for, full_matrices=False)
        rotation = np.ascontiguousarray(left @ right, dtype=np.float32)
        turned = sample @ rotation
    return rotation, quantized.lloyd(turned, centroids, LAST, threads=threads)


def _silent(_done: int, _total: int) -> None:
    """Report to nobody."""
