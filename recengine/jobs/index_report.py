"""Measure every kind of index over the live deployment's item vectors: recall against time against memory.

A job: it needs the offline spine's data and what is live. In: a deployment, and vectors of users as they ask. Out:
`IndexReport`; `index_page` draws it.

Why users that the build did not measure with: the effort of the live index was chosen so that it just reaches the
wanted recall on those, so among them it looks a little better than it is.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from recengine.config import Config
from recengine.config import Index as IndexConfig
from recengine.errors import BadUsage, EmptyData, NotFitted
from recengine.index import Index, Patched
from recengine.index import load as load_index
from recengine.index.exact import Exact
from recengine.index.hnsw import Hnsw
from recengine.index.making import AT, best_of_all, recall
from recengine.index.trials import KINDS, Kind, trials
from recengine.offline.indexing import asking, model_of, vectors_of
from recengine.offline.train import Progress
from recengine.retrieval.deployment import Deployment
from recengine.types import F32, I32, TrainingData

__all__ = ("QUERIES", "IndexReport", "Point", "report")

QUERIES = 200
"""Users that ask, where the caller does not say."""
PASSES = 3
"""Over the queries; of each query the fastest counts, since what slows it down is not the index."""
ENOUGH = 0.999
"""Of recall: more effort is not tried."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One index at one effort."""

    kind: str
    effort: int | None
    """int8, pq: rows scored again for each wanted one; hnsw: rows kept in sight; None = there is nothing to set."""
    recall: float
    """Mean share of the true best items that are found, 0..1."""
    ms: float
    """Milliseconds a query, one at a time on one thread: the mean."""
    ms_p99: float
    bytes_per_vector: float
    """Memory that a search reads from, the float32 vectors included."""
    live: bool = False
    """It is what answers now."""


class IndexReport(msgspec.Struct, frozen=True, kw_only=True):
    """How well, how fast and how large the indexes are."""

    version: str
    model: str
    """The `[[model]]` whose vectors these are."""
    items: int
    factors: int
    users: int
    """That asked."""
    at: int
    """Recall is measured among so many."""
    wanted: float
    """`index.recall`."""
    live: str
    """The kind that answers now; scan = the model scans all items itself, without an index."""
    points: tuple[Point, ...]
    fastest: Point | None
    """Of those that reach `wanted`; None = none does."""


def report(
    deployment: Deployment,
    folder: Path,
    data: TrainingData,
    config: Config,
    *,
    kinds: Sequence[Kind] = KINDS,
    queries: int = QUERIES,
    threads: int = 0,
    progress: Progress | None = None,
) -> IndexReport:
    """Build, ask and compare.

    Parameters
    ----------
    folder : of the deployment, verified; its graph is read again, since trying efforts on one disturbs who asks it.
    data : what is known now; histories of the users that ask.
    kinds : to try beside the live index.
    queries : users that ask at most.
    threads : to build with; 0 = all cores.

    Raises
    ------
    BadUsage : `queries` is below 1.
    NotFitted : no model of the deployment has factors.
    EmptyData : no item or no user has a vector.

    Cost: that of the builds, a full scan for each user, and `PASSES` searches for each user and effort.
    """
    if queries < 1:
        raise BadUsage(f"index report: expected --queries of 1 or more, got {queries}")
    model, member = model_of(deployment), deployment.factors
    if model is None or member is None:
        message = f"index report: no model of {deployment.version} has factors"
        raise NotFitted(message, hint="als, bpr, svd, nmf and funk_svd have them: configure one and train")
    vectors = vectors_of(model)
    usable = int(np.isfinite(vectors).all(axis=1).sum())
    asked = asking(model, data, config, queries, beyond=True)
    if usable == 0 or len(asked) == 0:
        what = "item" if usable == 0 else "user"
        raise EmptyData(f"index report: no {what} of {deployment.version} has a vector", hint="ingest more and train")
    truth = best_of_all(vectors, asked, min(AT, usable))
    points = []
    if deployment.index is not None:
        points.append(_measured(deployment.index, None, asked, truth, live=True))
    found = trials(
        vectors, config.index, kinds, graph=_graph(deployment, folder), seed=config.training.seed, threads=threads,
        progress=_told(progress, "build"),
    )  # fmt: skip
    for trial in found:
        say, kind = _told(progress, f"ask {trial.built.kind}"), trial.built.kind
        for step, effort in enumerate(trial.efforts, start=1):
            scanned = deployment.index is None and kind == Exact.kind
            points.append(_measured(trial.at(effort), effort, asked, truth, live=scanned))
            enough = points[-1].recall >= ENOUGH
            if say is not None:
                say(step, step if enough else len(trial.efforts))
            if enough:
                break
    reaching = [point for point in points if point.recall >= config.index.recall]
    return IndexReport(
        version=deployment.version,
        model=member.name,
        items=usable,
        factors=vectors.shape[1],
        users=len(asked),
        at=truth.shape[1],
        wanted=config.index.recall,
        live="scan" if deployment.index is None else deployment.index.kind,
        points=tuple(points),
        fastest=min(reaching, key=lambda point: point.ms, default=None),
    )


def _measured(index: Index, effort: int | None, asked: F32, truth: I32, *, live: bool) -> Point:
    found = index.search(asked, truth.shape[1]).items
    times = np.full(len(asked), np.inf)
    for _ in range(PASSES):
        for q in range(len(asked)):
            start = time.perf_counter()
            index.search(asked[q : q + 1], truth.shape[1])
            times[q] = min(times[q], time.perf_counter() - start)
    return Point(
        kind=index.kind,
        effort=effort,
        recall=recall(found, truth),
        ms=float(1e3 * times.mean()),
        ms_p99=float(1e3 * np.quantile(times, 0.99)),
        bytes_per_vector=index.bytes / max(index.n, 1),
        live=live,
    )


def _graph(deployment: Deployment, folder: Path) -> Hnsw | None:
    if deployment.index is None or isinstance(deployment.index, Patched) or deployment.index.kind != Hnsw.kind:
        return None
    found = load_index(IndexConfig(), folder / "index")
    return found if isinstance(found, Hnsw) else None


def _told(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(what, done, total)
