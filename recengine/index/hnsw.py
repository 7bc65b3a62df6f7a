"""Graphs of neighbours (Malkov and Yashunin 2018), by hnswlib: a thousand rows are looked at, of any number.

In: vectors. Out: the n largest inner products, as far as the graphs lead to them; their scores are those of the rows.
`shells.py` says which rows share a graph, and why.

Why a scan of bytes stands beside the graphs: it answers where a filter hides too much of what they find, so that
recall holds for any mask; and it takes batches of queries at a rate that they do not reach.

hnswlib crashes on damaged files, so `files.read` has compared hashes before it sees one. Adding rows while others
search fails queries there, so nothing is ever added: a new index is built aside.
"""

from pathlib import Path
from typing import Self

import numpy as np

from recengine.arrays import write_arrays
from recengine.errors import BadArtifact
from recengine.index import files, shells
from recengine.index.files import Card
from recengine.index.int8 import Int8
from recengine.index.narrowing import rescored
from recengine.index.neighbours import Progress
from recengine.index.shells import Shell
from recengine.kernels import array, positive
from recengine.types import F32, Mask, TopN

__all__ = ("Hnsw",)

WIDTH = 100
"""Rows that the search of a graph keeps in sight (ef), where nothing was measured."""
MOST = 2000
"""A search that would have to find more of a graph than this is a scan instead."""


class Hnsw:
    """Search graphs; scan bytes where a filter stands in their way.

    Parameters
    ----------
    graphs : over all finite rows, by falling norm; none where no row is finite.
    scan : the same rows by bytes.
    width : rows that the search of a graph keeps in sight; more = better recall, slower.
    """

    kind = "hnsw"

    def __init__(self, graphs: tuple[Shell, ...], scan: Int8, width: int) -> None:
        self._graphs = graphs
        self._scan = scan
        self._width = width
        for shell in graphs:  # once: queries in other threads read it; one that wants more rows gets them anyway
            shell.graph.set_ef(width)

    @classmethod
    def build(
        cls,
        vectors: F32,
        *,
        links: int = 16,
        effort: int = 200,
        seed: int = 0,
        threads: int = 1,
        progress: Progress | None = None,
    ) -> Self:
        """Build over (n, d) float32 `vectors`, of which a copy is kept; rows with NaN are never found.

        One thread gives the same graph from the same seed. With more, rows come in another order every time: as good a
        graph, but not the same one. Cost: 4.7 minutes on two threads for a million rows of 64
        with 16 links and 100 of effort (`bench.retrieval`).
        """
        scan = Int8.build(vectors)
        usable = np.flatnonzero(~np.isnan(vectors).any(axis=1)) if vectors.shape[1] else np.zeros(0, np.int64)
        norms = np.sqrt(np.einsum("ij,ij->i", vectors[usable], vectors[usable], dtype=np.float64))
        if not len(usable) or not norms.max() < 1e18:  # squares of more leave float32
            return cls((), scan, WIDTH)
        return cls(shells.build(vectors, usable, norms, links, effort, seed, threads, progress), scan, WIDTH)

    @property
    def n(self) -> int:
        """Rows."""
        return self._scan.n

    @property
    def d(self) -> int:
        """Length of a vector."""
        return self._scan.d

    @property
    def bytes(self) -> int:
        """The graphs with their rows, and those of the scan."""
        return self._scan.bytes + sum(int(shell.graph.index_file_size()) for shell in self._graphs)

    def with_effort(self, effort: int) -> Self:
        """Return the same graphs that keep so many rows in sight: not for use beside one that keeps another number."""
        return type(self)(self._graphs, self._scan, effort)

    def search(self, queries: F32, n: int, mask: Mask | None = None, *, threads: int = 1) -> TopN:
        """Pick the n rows with the largest inner products; see `Index.search`."""
        queries = array("queries", queries, np.dtype(np.float32), None, self.d)
        n, threads = positive("n", n), positive("threads", threads)
        if mask is not None:
            mask = array("mask", mask, np.dtype(np.uint8), len(queries), None)
        count = sum(shell.rows for shell in self._graphs)
        wanted = n if mask is None else 2 * n + 50  # a filter mostly hides a few: what the user has seen
        length = np.einsum("ij,ij->i", queries, queries, dtype=np.float64)
        plain = (length > 1e-30) & (length < 1e30)
        if wanted > MOST or wanted >= count or not plain.any() or (mask is not None and mask.shape[1] < self.n):
            return self._scan.search(queries, n, mask, threads=threads)
        asked = (queries[plain] / np.sqrt(length[plain])[:, None]).astype(np.float32)
        hidden = None if mask is None else np.ascontiguousarray(mask[plain])
        found = shells.walk(self._graphs, asked, wanted, n, hidden, threads)
        some = np.ascontiguousarray(queries[plain])
        picked = rescored(some, self._scan.rows, found, n, hidden, threads=threads)
        items = np.full((len(queries), n), -1, np.int32)
        scores = np.full((len(queries), n), np.nan, np.float32)
        items[plain], scores[plain] = picked.items, picked.scores
        starved = items[:, -1] < 0  # the filter hid too much of what the graphs found
        if starved.any():
            hidden = None if mask is None else np.ascontiguousarray(mask[starved])
            rest = self._scan.search(np.ascontiguousarray(queries[starved]), n, hidden, threads=threads)
            items[starved], scores[starved] = rest.items, rest.scores
        return TopN(items, scores)

    def save(self, folder: Path) -> None:
        """Write the graphs, the norms that they begin with, and what the scan writes."""
        write_arrays(folder, tops=np.array([shell.top for shell in self._graphs]))
        for place, shell in enumerate(self._graphs):
            shell.graph.save_index(str(folder / _file(place)))
        self._scan.save_as(self.kind, folder, width=self._width)

    @classmethod
    def load(cls, folder: Path, card: Card) -> Self:
        """Read what `save` wrote, after `files.read` has hashed it.

        Raises
        ------
        BadArtifact : a file is missing, or is the graph of other rows.
        """
        scan = Int8.load(folder, card)
        width = files.whole(folder, card, "width")
        tops = files.read_array(folder, card, "tops", np.float64, None)
        graphs = []
        for place, top in enumerate(tops):
            if _file(place) not in card.files:
                raise BadArtifact(f"{folder.name}/{_file(place)}: not part of this index", hint="train again")
            graphs.append(Shell.read(folder / _file(place), card.d, float(top), card.n))
        return cls(tuple(graphs), scan, width)


def _file(place: int) -> str:
    return f"graph{place}.bin"
