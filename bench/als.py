"""Measure an ALS iteration over Gowalla beside implicit's, and the recall that both reach.

Peer: implicit's AlternatingLeastSquares on the CPU (conjugate gradients, float32, its default steps), in turns with
ours. An iteration of ours is (fit of 1 + k epochs - fit of 1 epoch) / k, so set-up and the longer last half-step do not
count. `cpu_*` is processor time: on a shared machine it is the steadier figure. Limit: multiply-adds of the algorithm
(Gram matrix, rotation, conjugate gradients) and the bytes of factors that one pass over the entries gathers.

    OPENBLAS_NUM_THREADS=1 python -m bench.als --json
    OPENBLAS_NUM_THREADS=1 python -m bench.als --json --speed 0 --recall 1     recall@20 on the test part, by epoch
"""

import statistics
import time

import numpy as np
import pyarrow.parquet as pq
from implicit.als import AlternatingLeastSquares
from scipy import sparse

from bench import data
from bench.harness import arguments, report
from recengine.algorithms.als import Als
from recengine.config import Als as Config
from recengine.types import NO_TIME, Catalogue, Interactions, Query, TrainingData


def read(name: str, small: bool) -> sparse.csr_matrix:
    table = pq.read_table(data.require(f"gowalla/{name}.parquet"))
    users, items = table.column(0).to_numpy(), table.column(1).to_numpy()
    shape = (29_858, 40_981)
    if small:
        keep = (users < 500) & (items < 2000)
        users, items, shape = users[keep], items[keep], (500, 2000)
    return sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape=shape)


def training(matrix: sparse.csr_matrix) -> TrainingData:
    times = np.zeros(matrix.nnz, np.int64)
    indptr, items = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)
    rows = Interactions(*matrix.shape, indptr, items, matrix.data, times)
    users, items = (Catalogue(n, {}, np.ones(n, np.uint8), np.full(n, NO_TIME)) for n in matrix.shape)
    return TrainingData(rows, items, users, 0)


def timed(run) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def speed(matrix: sparse.csr_matrix, factors: int, args) -> dict[str, object]:
    rows, epochs = training(matrix), 4
    one, many = (Als(Config(factors=factors, epochs=n)) for n in (1, 1 + epochs))
    peer = AlternatingLeastSquares(
        factors=factors, alpha=10.0, regularization=100.0, iterations=1 + epochs, num_threads=args.threads
    )
    marks: list[tuple[float, float]] = []

    def callback(*_) -> None:
        marks.append((time.perf_counter(), time.process_time()))

    ours, theirs = [], []
    for _ in range(args.repeats):
        short = timed(lambda: one.fit(rows, threads=args.threads))
        long = timed(lambda: many.fit(rows, threads=args.threads))
        ours.append([(b - a) / epochs for a, b in zip(short, long, strict=True)])
        marks.clear()
        peer.fit(matrix, show_progress=False, callback=callback)
        theirs.append([(b - a) / epochs for a, b in zip(marks[0], marks[-1], strict=True)])
    wall, cpu = (statistics.median(t[k] for t in ours) for k in (0, 1))
    peer_wall, peer_cpu = (statistics.median(t[k] for t in theirs) for k in (0, 1))
    n, steps = sum(matrix.shape), many.config.cg_steps
    return {
        "seconds": round(wall, 4),
        "implicit_seconds": round(peer_wall, 4),
        "ratio": round(peer_wall / wall, 2),
        "best_ratio": round(min(t[0] for t in theirs) / min(t[0] for t in ours), 2),
        "cpu_seconds": round(cpu, 4),
        "implicit_cpu_seconds": round(peer_cpu, 4),
        "cpu_ratio": round(peer_cpu / cpu, 2),
        "limit_multiply_adds": int(n * factors**2 * 2.5 + (4 * steps + 6) * matrix.nnz * factors),
        "limit_gathered_bytes": 2 * matrix.nnz * factors * 4,
    }


def recall(train: sparse.csr_matrix, test: sparse.csr_matrix, top) -> float:
    """Recall@20 over users with test items; `top(users, mask)` gives the picks."""
    users = np.flatnonzero(np.diff(test.indptr)).astype(np.int32)
    total = 0.0
    for start in range(0, len(users), 1024):
        block = users[start : start + 1024]
        mask = np.ones((len(block), train.shape[1]), np.uint8)
        part = train[block]
        mask[np.repeat(np.arange(len(block)), np.diff(part.indptr)), part.indices] = 0
        for user, picks in zip(block, top(block, mask), strict=True):
            own = test.indices[test.indptr[user] : test.indptr[user + 1]]
            total += np.isin(picks, own).sum() / len(own)
    return total / len(users)


def ours_top(model: Als, threads: int):
    def top(users, mask):
        indptr, items = np.zeros(len(users) + 1, np.int64), np.empty(0, np.int32)
        nothing = (indptr, items, np.empty(0, np.float32), np.empty(0, np.int64))
        empty = Interactions(len(users), mask.shape[1], *nothing)
        return model.recommend(Query(users, empty, np.zeros(len(users), np.uint8), 0), 20, mask, threads=threads).items

    return top


def peer_top(model: AlternatingLeastSquares, train: sparse.csr_matrix):
    return lambda users, _: model.recommend(users, train[users], N=20, filter_already_liked_items=True)[0]


def accuracy(args) -> dict[str, object]:
    train, test = read("train", args.small), read("test", args.small)
    peer = AlternatingLeastSquares(
        factors=args.factors,
        alpha=args.peer_alpha,
        regularization=args.peer_regularization,
        iterations=1,
        num_threads=args.threads,
        random_state=0,
    )
    found: dict[str, object] = {}
    ours, theirs, seconds, passed = {}, {}, {}, 0.0
    checks = [int(e) for e in args.epochs.split(",")]
    for epochs in checks:
        config = Config(factors=args.factors, epochs=epochs)
        model = Als(config)
        seconds[epochs] = round(timed(lambda m=model: m.fit(training(train), threads=args.threads))[0], 2)
        ours[epochs] = round(recall(train, test, ours_top(model, args.threads)), 4)
    peer_seconds = {}
    for epoch in range(1, max(checks) + 1):
        passed += timed(lambda: peer.fit(train, show_progress=False))[0]
        if epoch in checks:
            theirs[epoch] = round(recall(train, test, peer_top(peer, train)), 4)
            peer_seconds[epoch] = round(passed, 2)
    best = max(theirs.values())
    mine = next((seconds[e] for e in checks if ours[e] >= best), None)
    peer_time = next(peer_seconds[e] for e in checks if theirs[e] == best)
    found.update(recall=ours, seconds=seconds, implicit_recall=theirs, implicit_seconds=peer_seconds)
    found.update(seconds_to_implicits_best=mine, implicit_seconds_to_its_best=peer_time)
    found["ratio"] = round(peer_time / mine, 2) if mine else None
    return found


def main() -> None:
    args = arguments(
        __doc__,
        speed="64,128,256",
        repeats=5,
        recall=0,
        factors=256,
        epochs="2,4,6,8,12,16",
        peer_alpha=10.0,
        peer_regularization=100.0,
    )
    answer: dict[str, object] = {"threads": args.threads}
    if args.small:
        args.speed, args.repeats, args.factors, args.epochs = "16", 1, 16, "1,2"
    for factors in [int(f) for f in args.speed.split(",") if int(f)]:
        answer[f"factors_{factors}"] = speed(read("train", args.small), factors, args)
    if args.recall:
        answer["recall_at_20"] = accuracy(args)
    report("ALS on Gowalla", args, **answer)


if __name__ == "__main__":
    main()
