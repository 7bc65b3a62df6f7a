"""A graph of neighbours (Malkov and Yashunin 2018), by hnswlib: a thousand rows are looked at, of any number.

In: vectors. Out: the n largest inner products, as far as the graph leads to them; their scores are those of the rows.

Inner products are no metric: a graph over them leaves short vectors without a way in. So every row gets one more value,
sqrt(M^2 - |x|^2) with M the largest norm, and every query a 0: the order by distance is then the order by inner product
(Bachrach et al. 2014, "Speeding Up the Xbox Recommender System", section 3).

Why a scan of bytes stands beside the graph: it answers where a filter hides too much of what the graph finds, so that
recall holds for any mask; and it takes batches of queries at a rate that the graph does not reach.

hnswlib crashes on damaged files, so `files.read` has compared hashes before it sees one. Adding rows while others
search fails queries there, so nothing is ever added: a new index is built aside.
"""

from pathlib import Path
from typing import Self

import hnswlib
import numpy as np

from recengine.errors import BadArtifact
from recengine.index import files
from recengine.index.files import Card
from recengine.index.int8 import Int8
from recengine.index.narrowing import rescored
from recengine.index.neighbours import Progress
from recengine.kernels import array, positive
from recengine.types import F32, I32, Mask, TopN

__all__ = ("Hnsw",)

FILE = "graph.bin"
WIDTH = 200
"""Rows that a search keeps in sight (ef), where nothing was measured."""
MOST = 2000
"""A search that would have to find more of the graph than this is a scan instead."""
CHUNK = 5_000


class Hnsw:
    """Search a graph; scan bytes where a filter stands in its way.

    Parameters
    ----------
    graph : over the augmented rows, labels = rows; None where no row is finite.
    scan : the same rows by bytes.
    width : rows that a search keeps in sight; more = better recall, slower.
    """

    kind = "hnsw"

    def __init__(self, graph: hnswlib.Index | None, scan: Int8, width: int) -> None:
        self._graph = graph
        self._scan = scan
        self._width = width
        if graph is not None:
            graph.set_ef(width)  # once: queries in other threads read it; one that wants more rows gets them anyway

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
        graph, but not the same one. Cost: 4.4 minutes on two threads for a million rows of 64
        with 16 links and 100 of effort (`bench.retrieval`).
        """
        scan = Int8.build(vectors)
        usable = np.flatnonzero(~np.isnan(vectors).any(axis=1)) if vectors.shape[1] else np.zeros(0, np.int64)
        norms = np.sqrt(np.einsum("ij,ij->i", vectors[usable], vectors[usable], dtype=np.float64))
        if not len(usable) or not norms.max() < 1e18:  # squares of more leave float32
            return cls(None, scan, WIDTH)
        graph = hnswlib.Index("l2", vectors.shape[1] + 1)
        graph.init_index(len(usable), M=links, ef_construction=effort, random_seed=seed + 1)
        scale = np.float32(1 / max(norms.max(), 1e-30))  # and queries have length 1: distances keep their digits
        more = np.sqrt(np.maximum(1 - (norms * scale) ** 2, 0)).astype(np.float32)
        for first in range(0, len(usable), CHUNK):
            if progress is not None:
                progress(first, len(usable))
            part = slice(first, first + CHUNK)
            rows = np.column_stack([vectors[usable[part]] * scale, more[part]])
            graph.add_items(rows, usable[part], num_threads=threads)
        if progress is not None:
            progress(len(usable), len(usable))
        return cls(graph, scan, WIDTH)

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
        """The graph with its rows, and those of the scan."""
        return self._scan.bytes + (0 if self._graph is None else int(self._graph.index_file_size()))

    def with_effort(self, effort: int) -> Self:
        """Return the same graph that keeps so many rows in sight: not for use beside one that keeps another number."""
        return type(self)(self._graph, self._scan, effort)

    def search(self, queries: F32, n: int, mask: Mask | None = None, *, threads: int = 1) -> TopN:
        """Pick the n rows with the largest inner products; see `Index.search`."""
        queries = array("queries", queries, np.dtype(np.float32), None, self.d)
        n, threads = positive("n", n), positive("threads", threads)
        if mask is not None:
            mask = array("mask", mask, np.dtype(np.uint8), len(queries), None)
        count = 0 if self._graph is None else self._graph.element_count
        wanted = n if mask is None else 2 * n + 50  # a filter mostly hides a few: what the user has seen
        length = np.einsum("ij,ij->i", queries, queries, dtype=np.float64)
        plain = (length > 1e-30) & (length < 1e30)
        if wanted > MOST or wanted >= count or not plain.any() or (mask is not None and mask.shape[1] < self.n):
            return self._scan.search(queries, n, mask, threads=threads)
        asked = np.column_stack([queries[plain] / np.sqrt(length[plain])[:, None], np.zeros(plain.sum())])
        found = self._walked(asked.astype(np.float32), wanted, threads)
        hidden = None if mask is None else np.ascontiguousarray(mask[plain])
        some = np.ascontiguousarray(queries[plain])
        picked = rescored(some, self._scan.rows, found, n, hidden, threads=threads)
        items = np.full((len(queries), n), -1, np.int32)
        scores = np.full((len(queries), n), np.nan, np.float32)
        items[plain], scores[plain] = picked.items, picked.scores
        for row in np.flatnonzero(items[:, -1] < 0):  # the filter hid too much of what the graph found
            one = slice(row, row + 1)
            rest = self._scan.search(queries[one], n, None if mask is None else mask[one], threads=threads)
            items[row], scores[row] = rest.items[0], rest.scores[0]
        return TopN(items, scores)

    def _walked(self, asked: F32, wanted: int, threads: int) -> I32:
        """Return rows (B, wanted) in the graph's order; -1 throughout where it does not lead to so many."""
        if self._graph is None:
            return np.full((len(asked), wanted), -1, np.int32)
        try:
            labels, _ = self._graph.knn_query(asked, k=wanted, num_threads=min(threads, len(asked)))
        except RuntimeError:  # hnswlib says so of the whole batch
            if len(asked) == 1:
                return np.full((1, wanted), -1, np.int32)
            return np.concatenate([self._walked(asked[q : q + 1], wanted, 1) for q in range(len(asked))])
        return np.asarray(labels, dtype=np.int32)

    def save(self, folder: Path) -> None:
        """Write the graph, and what the scan writes."""
        if self._graph is not None:
            self._graph.save_index(str(folder / FILE))
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
        if FILE not in card.files:
            return cls(None, scan, width)
        graph = hnswlib.Index("l2", card.d + 1)
        try:
            graph.load_index(str(folder / FILE))
        except RuntimeError as err:
            raise BadArtifact(f"{folder.name}/{FILE}: {err}", hint="train again, or roll back") from err
        labels = graph.get_ids_list()
        if not labels or max(labels) >= card.n:
            raise BadArtifact(f"{folder.name}/{FILE}: a graph of other rows", hint="train again, or roll back")
        return cls(graph, scan, width)
