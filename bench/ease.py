"""Time the closed form of EASE beside the LAPACK call it rests on, and judge the sparse form beside it.

The items with the most users of Gowalla's training side. A tenth of each user's entries is held out and ranked for;
nothing of the test side is read. Limit: `dpotrf` and `dpotri` alone, on the same matrix, in turns with the whole fit.

    python -m bench.ease --json
"""

import time

import numpy as np
import pyarrow.parquet as pq
from scipy import sparse
from scipy.linalg import lapack

from bench import data, harness
from bench.growth import training
from recengine.algorithms.ease import Ease
from recengine.algorithms.graph_filter import GraphFilter
from recengine.config import Ease as EaseConfig
from recengine.config import GraphFilter as GraphFilterConfig
from recengine.metrics.ranking import evaluate, mean
from recengine.types import Query

N = 20


def catalogue(items, small):
    """Return users x items of the most used items, rows with at least five entries."""
    if small:
        return sparse.random(300, 120, density=0.08, format="csr", dtype=np.float32, rng=0, data_rvs=np.ones)
    table = pq.read_table(data.require("gowalla/train.parquet"))
    pairs = table["user"].to_numpy(), table["item"].to_numpy()
    rows = sparse.csr_matrix((np.ones(table.num_rows, np.float32), pairs))
    most = np.sort(np.argsort(-rows.getnnz(axis=0), kind="stable")[:items])
    rows = rows[:, most].tocsr()
    return rows[rows.getnnz(axis=1) >= 5].tocsr()


def halves(rows, share=0.1):
    """Hold out a share of each row's entries, at least one."""
    rng = np.random.default_rng(0)
    order = np.lexsort((rng.random(rows.nnz), np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))))
    lengths = np.diff(rows.indptr)
    place = np.arange(rows.nnz) - np.repeat(rows.indptr[:-1], lengths)
    held = place < np.repeat(np.maximum(1, np.rint(share * lengths)), lengths)
    owner, cols = np.repeat(np.arange(rows.shape[0]), lengths), rows.indices[order]
    return tuple(
        sparse.csr_matrix((np.ones(side.sum(), np.float32), (owner[side], cols[side])), shape=rows.shape)
        for side in (~held, held)
    )


def judged(model, known, held, threads):
    """Return Recall@20, NDCG@20, and the microseconds of one row in a batch."""
    found = training(known).interactions
    query = Query(np.arange(known.shape[0], dtype=np.int32), found, np.zeros(known.shape[0], np.uint8), 0)
    mask = np.ones(known.shape, np.uint8)
    mask[known.nonzero()] = 0
    start = time.perf_counter()
    best = model.recommend(query, N, mask, threads=threads)
    spent = time.perf_counter() - start
    scores = mean(evaluate(best.items, held.indptr.astype(np.int64), held.indices.astype(np.int32), N))
    return {
        "recall_20": scores["recall"],
        "ndcg_20": scores["ndcg"],
        "microseconds_a_user": 1e6 * spent / known.shape[0],
    }


def measure(args):
    """Fit both forms and their neighbour, the graph filter, on the same catalogue."""
    known, held = halves(catalogue(args.items, args.small))
    learned_from = training(known)
    exact = Ease(EaseConfig(inverse="exact", regularization=args.regularization))
    gram = (known.T @ known).toarray().astype(np.float64)
    gram.flat[:: len(gram) + 1] += args.regularization
    copy = np.empty_like(gram)
    alone = []

    def lapack_alone():
        copy[:] = gram
        start = time.perf_counter()
        turned = copy.T
        lapack.dpotrf(turned, lower=1, clean=0, overwrite_a=1)
        lapack.dpotri(turned, lower=1, overwrite_c=1)
        alone.append(time.perf_counter() - start)

    mine, _ = harness.interleaved(
        lambda: exact.fit(learned_from, threads=args.threads), lapack_alone, repeats=args.repeats, warmup=1
    )
    models = {"exact": (exact, None)}
    for k in (10, 20) if args.small else (50, 100, 200):
        sparser = Ease(EaseConfig(inverse="sparse", neighbors=k, regularization=args.regularization))
        start = time.perf_counter()
        sparser.fit(learned_from, threads=args.threads)
        models[f"sparse_{k}"] = sparser, time.perf_counter() - start
    start = time.perf_counter()
    graph = GraphFilter(GraphFilterConfig()).fit(learned_from, threads=args.threads)
    models["graph_filter"] = graph, time.perf_counter() - start
    return {
        "users": known.shape[0],
        "items": known.shape[1],
        "entries": known.nnz,
        "fit_seconds": harness.summary(mine),
        "lapack_seconds": harness.summary(alone[1:]),
        "times_lapack": float(np.median(np.array(mine) / np.array(alone[1:]))),
        "held_out": {
            name: {"fit_seconds": took} | judged(model, known, held, args.threads)
            for name, (model, took) in models.items()
        },
    }


def main():
    """Run and print."""
    args = harness.arguments(__doc__, items=5000, regularization=100.0, repeats=3)
    harness.report("ease", args, threads=args.threads, **measure(args))


if __name__ == "__main__":
    main()
