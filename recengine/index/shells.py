"""Graphs over rows of about the same length, the long ones first: what an inner product is looked for in.

In: vectors. Out: candidates by inner product. Inner products are no metric, so every row of a graph gets one more
value, sqrt(M^2 - |x|^2) with M the largest norm in it, and every query a 0: the order by distance is then that by inner
product (Bachrach et al. 2014, "Speeding Up the Xbox Recommender System", section 3).

Why not one graph: where M is that of the one longest row, the new value is nearly all of every other row, the rows lie
as good as on one another, and a search is lost among them. Over a million vectors as ALS learns them one graph found
half of the best 100, these find .99 at the same cost (`bench.retrieval`). Cutting by norm is Yan et al. 2018,
"Norm-Ranging LSH for Maximum Inner Product Search", section 3. No row scores more than its norm times the query's, so a
search ends at the first shell that can add nothing.

Why not sooner, after a shell that added nothing: of rows whose length goes with their direction the next shell may hold
all that is wanted. It was a quarter faster.
"""

from pathlib import Path
from typing import Self

import hnswlib
import msgspec
import numpy as np

from recengine.errors import BadArtifact
from recengine.index.neighbours import Progress
from recengine.types import F32, F64, I32, I64, Mask

__all__ = ("Shell", "build", "cuts", "walk")

FIRST = 64
"""The longest shell holds a row in so many, each further one twice the rows of the one before."""
LEAST = 2000
"""Rows of a shell: less is not worth another search."""
ALIKE = 0.9
"""Rows of this share of the longest norm stand in its shell, however many: cutting them apart gains nothing."""
SLACK = 16
"""Candidates kept beyond the wanted ones: their order here is that of rounded distances."""
CHUNK = 5_000


class Shell(msgspec.Struct, frozen=True):
    """A graph whose labels are rows."""

    graph: hnswlib.Index
    top: float
    """The largest norm in it."""

    @property
    def rows(self) -> int:
        """How many it holds."""
        return int(self.graph.element_count)

    @classmethod
    def read(cls, file: Path, d: int, top: float, n: int) -> Self:
        """Read a graph that was hashed right before.

        Raises
        ------
        BadArtifact : it is none, or one of other rows.
        """
        graph = hnswlib.Index("l2", d + 1)
        try:
            graph.load_index(str(file))
        except RuntimeError as err:
            raise BadArtifact(f"{file.parent.name}/{file.name}: {err}", hint="train again, or roll back") from err
        labels = graph.get_ids_list()
        if not labels or max(labels) >= n or not top > 0:
            message = f"{file.parent.name}/{file.name}: a graph of other rows"
            raise BadArtifact(message, hint="train again, or roll back")
        return cls(graph, top)


def cuts(norms: F64) -> list[int]:
    """Return where shells end among `norms`, falling: ascending, the last is their number."""
    ends, start, size = [], 0, max(LEAST, len(norms) // FIRST)
    while start < len(norms):
        alike = int(np.searchsorted(-norms, -ALIKE * norms[start], side="right"))
        end = max(start + size, alike)
        if len(norms) - end < size:
            end = len(norms)
        ends.append(end)
        start, size = end, 2 * size
    return ends


def build(
    vectors: F32, usable: I64, norms: F64, links: int, effort: int, seed: int, threads: int, progress: Progress | None
) -> tuple[Shell, ...]:
    """Build the graphs over rows `usable` of `vectors`, whose norms are `norms`."""
    order = np.argsort(-norms, kind="stable")
    falling, made, start = norms[order], [], 0
    for end in cuts(falling):
        rows = usable[order[start:end]]
        top = max(float(falling[start]), 1e-30)
        share = falling[start:end] / top
        more = np.sqrt(np.maximum(1 - share**2, 0)).astype(np.float32)
        graph = hnswlib.Index("l2", vectors.shape[1] + 1)
        graph.init_index(len(rows), M=links, ef_construction=effort, random_seed=seed + 1)
        for first in range(0, len(rows), CHUNK):
            if progress is not None:
                progress(start + first, len(usable))
            part = slice(first, first + CHUNK)
            scaled = vectors[rows[part]] * np.float32(1 / top)  # queries have length 1 too: distances keep their digits
            graph.add_items(np.column_stack([scaled, more[part]]), rows[part], num_threads=threads)
        made.append(Shell(graph, top))
        start = end
    if progress is not None:
        progress(len(usable), len(usable))
    return tuple(made)


def walk(shells: tuple[Shell, ...], asked: F32, wanted: int, n: int, mask: Mask | None, threads: int) -> I32:
    """Collect candidates for the n best of every query, in no order.

    Parameters
    ----------
    asked : (B, d) float32 of length 1.
    wanted : rows to ask each shell for.
    mask : (B, at least all rows) uint8; hidden rows are dropped, and do not count for where a search ends.

    Returns
    -------
    int32 (B, m), -1 = none; -1 throughout where a shell gave less than `n` that may be seen
    though it holds more: what it did not give may be better than what shorter rows offer.
    """
    padded = np.column_stack([asked, np.zeros(len(asked), np.float32)])
    items = np.zeros((len(asked), 0), np.int32)
    scores = np.zeros((len(asked), 0), np.float32)
    starved = np.zeros(len(asked), np.bool_)
    for shell in shells:
        going = ~starved
        if items.shape[1] >= n:
            going &= -np.partition(-scores, n - 1, axis=1)[:, n - 1] < shell.top
        rows = np.flatnonzero(going)
        if not len(rows):
            break
        k = min(wanted, shell.rows)
        more_items, more_scores = np.full((len(asked), k), -1, np.int32), np.full((len(asked), k), -np.inf, np.float32)
        labels, distances = _asked(shell.graph, padded[rows], k, threads)
        found = np.where(labels < 0, -np.inf, shell.top * (1 - distances / 2)).astype(np.float32)
        if mask is not None:
            found[mask[rows[:, None], np.maximum(labels, 0)] == 0] = -np.inf
        too_few = (found > -np.inf).sum(axis=1) < min(n, k)
        starved[rows] = (too_few & (shell.rows > k)) | (labels[:, 0] < 0)  # of all of it nothing is unseen
        more_items[rows], more_scores[rows] = np.where(found > -np.inf, labels, -1), found
        items, scores = np.concatenate([items, more_items], axis=1), np.concatenate([scores, more_scores], axis=1)
        if items.shape[1] > n + SLACK:
            best = np.argpartition(-scores, n + SLACK - 1, axis=1)[:, : n + SLACK]
            items, scores = np.take_along_axis(items, best, axis=1), np.take_along_axis(scores, best, axis=1)
    items[starved] = -1
    return items


def _asked(graph: hnswlib.Index, queries: F32, k: int, threads: int) -> tuple[I32, F32]:
    """Return rows and squared distances (B, k); -1 throughout where the graph does not lead to so many."""
    try:
        labels, distances = graph.knn_query(queries, k=k, num_threads=min(threads, len(queries)))
    except RuntimeError:  # hnswlib says so of the whole batch
        if len(queries) == 1:
            return np.full((1, k), -1, np.int32), np.zeros((1, k), np.float32)
        parts = [_asked(graph, queries[q : q + 1], k, 1) for q in range(len(queries))]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    return np.asarray(labels, dtype=np.int32), np.asarray(distances, dtype=np.float32)
