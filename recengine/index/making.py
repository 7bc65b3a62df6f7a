"""Make an index from vectors, or from the folder that one was saved into.

In: vectors and `[index]`. Out: an `Index`, which spends as little on a query as the wanted recall allows: that is
measured on queries, against a full scan, when it is built.
"""

import logging
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from recengine.config import Index as IndexConfig
from recengine.errors import BadArtifact
from recengine.index import files, patched, projected
from recengine.index.exact import Exact
from recengine.index.hnsw import Hnsw
from recengine.index.int8 import Int8
from recengine.index.neighbours import Index, Progress
from recengine.index.patched import Patched
from recengine.index.pq import Pq
from recengine.index.projected import Projected
from recengine.kernels import array, cores
from recengine.types import F32, I32, Bools

log = logging.getLogger("recengine.index")

__all__ = ("best_of_all", "build", "load", "recall")

AT = 100
"""Recall is measured among so many."""
ASKED = 200
"""Queries that it is measured with."""
MARGIN = 0.005
"""What is measured on a sample must be above the wanted recall by so much."""
WIDTHS = (30, 60, 100, 140, 200, 280, 400, 560, 800, 1200, 1600, 2000)
RERANKS = (2, 3, 5, 10, 20, 40, 80, 160)
CHUNK = 65_536

Tunable = TypeVar("Tunable", Hnsw, Int8, Pq, Projected)


def build(
    vectors: F32,
    config: IndexConfig,
    *,
    queries: F32 | None = None,
    seed: int = 0,
    threads: int = 0,
    progress: Progress | None = None,
) -> Index:
    """Build what `config.kind` says over the rows of `vectors`.

    Why `exact_up_to` is large: by falling norm, the exact scan of a million rows as ALS learns them ends after 0.33 ms;
    graphs of 16 links find .99 of the best 100 in 0.61 ms (`bench.retrieval`, 64 factors, 1 thread).

    `auto` takes the exact scan up to `exact_up_to` rows, the graph up to `graph_up_to`, then the quantizer; where that
    one does not reach the wanted recall whatever it spends, the scan by bytes: it takes 1.3 times the memory of the
    vectors, the exact one 2.3 times. A kind that was asked for and misses the recall is kept, and the log says so.

    Parameters
    ----------
    vectors : (n, d) float32; a row with a value that is not finite is never found. Nothing of it is kept.
    queries : (B, d) float32, such as will be asked, to measure recall with; none = some of the rows. At most 200 count.
    seed : of everything drawn; the same seed gives the same index, whatever `threads`, except where
        `config.reproducible` is false.
    threads : to build with; 0 = all cores.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype.
    """
    vectors = array("vectors", vectors, np.dtype(np.float32), None, None)
    if queries is not None:
        queries = array("queries", queries, np.dtype(np.float32), None, vectors.shape[1])
    usable = np.asarray(np.isfinite(vectors).all(axis=1))
    if not usable.all():
        vectors = vectors.copy()
        vectors[~usable] = np.nan
    if config.projection is not None and config.projection < vectors.shape[1] and usable.any():
        return _narrowed(vectors, usable, config, queries, seed, threads, progress)
    threads, kind = cores(threads), config.kind
    if kind == "auto":
        kind = "exact" if len(vectors) <= config.exact_up_to else "hnsw" if len(vectors) <= config.graph_up_to else "pq"
    if kind == "exact":
        return Exact.build(vectors)
    asked = _sample(vectors[usable] if queries is None else queries, seed)
    truth = best_of_all(vectors, asked, min(AT, int(usable.sum())))
    found: Index
    if kind == "hnsw":
        workers = 1 if config.reproducible else threads
        graph = Hnsw.build(
            vectors, links=config.links, effort=config.effort, seed=seed, threads=workers, progress=progress
        )
        found, reached = _least(graph, WIDTHS, asked, truth, config.recall + MARGIN)
    elif kind == "pq":
        codes = Pq.build(vectors, config.rerank, seed=seed, threads=threads, progress=progress)
        found, reached = _least(codes, _reranks(config), asked, truth, config.recall + MARGIN)
    if kind == "int8" or (config.kind == "auto" and not reached):
        reranks = RERANKS if config.kind == "auto" else _reranks(config)
        found, reached = _least(Int8.build(vectors), reranks, asked, truth, config.recall + MARGIN)
    _warned(found, config, reached=reached)
    return found


def _narrowed(
    vectors: F32,
    usable: Bools,
    config: IndexConfig,
    queries: F32 | None,
    seed: int,
    threads: int,
    progress: Progress | None,
) -> Index:
    """Build over principal directions, and score so many whole rows again that the wanted recall is reached."""
    basis = projected.directions(vectors[usable], config.projection or vectors.shape[1])
    asked = _sample(vectors[usable] if queries is None else queries, seed)
    truth = best_of_all(vectors, asked, min(AT, int(usable.sum())))
    alone = msgspec.structs.replace(config, projection=None)
    narrow = projected.projected(vectors, basis)
    base = build(
        narrow, alone, queries=projected.projected(asked, basis), seed=seed, threads=threads, progress=progress
    )
    wide = Projected(vectors.copy(), basis, base, projected.RERANK)
    found, reached = _least(wide, RERANKS, asked, truth, config.recall + MARGIN)
    _warned(found, config, reached=reached)
    return found


def _warned(found: Index, config: IndexConfig, *, reached: bool) -> None:
    """Say in the log that an index is not as good as it was asked to be: it serves all the same."""
    if not reached:
        log.warning("index: %s does not reach recall %g with its most effort", found.kind, config.recall)


def _reranks(config: IndexConfig) -> tuple[int, ...]:
    return RERANKS if config.rerank is None else (config.rerank,)


def _least(index: Tunable, efforts: tuple[int, ...], asked: F32, truth: I32, wanted: float) -> tuple[Tunable, bool]:
    """Find the least effort that reaches the wanted recall; else take the most, and say so."""
    tried = index
    for effort in efforts:
        tried = index.with_effort(effort)
        if len(asked) == 0 or recall(tried.search(asked, truth.shape[1]).items, truth) >= min(wanted, 1.0):
            return tried, True
    return tried, False


def _sample(queries: F32, seed: int) -> F32:
    usable = np.flatnonzero(np.isfinite(queries).all(axis=1))
    chosen = np.random.default_rng(seed).choice(usable, min(ASKED, len(usable)), replace=False)
    return np.ascontiguousarray(queries[np.sort(chosen)])


def best_of_all(vectors: F32, queries: F32, n: int) -> I32:
    """Pick the n largest inner products of every query by a full scan: int32 (B, n), in no order; NaN rows last.

    Cost: B n_items d multiply-adds by BLAS, 65,536 rows at a time.
    """
    items = np.zeros((len(queries), 0), np.int32)
    scores = np.zeros((len(queries), 0), np.float32)
    for first in range(0, len(vectors), CHUNK):
        some = np.nan_to_num(queries @ vectors[first : first + CHUNK].T, nan=-np.inf)
        scores = np.concatenate([scores, some], axis=1)
        rows = np.arange(first, first + some.shape[1], dtype=np.int32)
        items = np.concatenate([items, np.broadcast_to(rows, some.shape)], axis=1)
        if scores.shape[1] > n:
            best = np.argpartition(-scores, n - 1, axis=1)[:, :n]
            items, scores = np.take_along_axis(items, best, axis=1), np.take_along_axis(scores, best, axis=1)
    return items


def recall(found: I32, truth: I32) -> float:
    """Return the mean share of each row of `truth` that stands in the same row of `found`."""
    pairs = zip(found, truth, strict=True)
    return float(np.mean([np.isin(wanted, got).mean() for got, wanted in pairs])) if len(truth) else 1.0


def load(config: IndexConfig, folder: Path) -> Index:
    """Read what `Index.save` wrote; every file is hashed before it is read.

    Raises
    ------
    BadArtifact : a file is missing, damaged, of another format, or of another kind than `config` wants.
    """
    card = files.read(folder)
    if card.kind == patched.KIND:
        return Patched.load(folder, card, load(config, folder / files.BASE))
    if card.kind == projected.KIND:
        return Projected.load(folder, card, load(config, folder / files.BASE))
    if config.kind not in {"auto", card.kind}:
        message = f"{folder.name}/index.json: holds {card.kind}, `index.kind` says {config.kind}"
        raise BadArtifact(message, hint="train again")
    for kind in (Exact, Int8, Hnsw, Pq):
        if card.kind == kind.kind:
            return kind.load(folder, card)
    raise BadArtifact(f"{folder.name}/index.json: unknown kind {card.kind!r}", hint="train again, or roll back")
