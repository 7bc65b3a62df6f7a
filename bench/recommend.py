"""How much faster is a batch than a loop, and one factor model than implicit's batch?

1. `Engine.recommend_batch` for all users against a loop of `Engine.recommend` over a sample of them: the whole
pipeline, n = 10. 2. ALS alone, `Als.recommend` for all users with seen items left out, against implicit's
`recommend` with the same factor
   count and threads, n = 20, interleaved.

Limit of 2: users x items x factors multiply-adds; the peak of this machine is measured by a matrix product of the
same shape.
"""

import time

import implicit
import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from bench import harness, shops
from recengine.algorithms.als import Als
from recengine.config import Als as AlsConfig
from recengine.types import NO_TIME, Catalogue, Query, TrainingData


def pipeline(engine, loop: int):
    """Users a second: looped, and in one batch."""
    users = engine.users()
    sample = shops.some(users, min(loop, len(users)))
    for user in sample[:100]:
        engine.recommend(user)
    start = time.perf_counter()
    for user in sample:
        engine.recommend(user)
    looped = len(sample) / (time.perf_counter() - start)
    engine.recommend_batch(users[:1024])
    start = time.perf_counter()
    engine.recommend_batch(users)
    batched = len(users) / (time.perf_counter() - start)
    return {
        "loop_users_a_second": round(looped),
        "batch_users_a_second": round(batched),
        "ratio": round(batched / looped, 2),
    }


def factors_alone(engine, threads: int, factors: int = 64):
    """Seconds for all users, ours and implicit's."""
    history = engine.interactions()
    n_users, n_items = history.n_users, history.n_items
    matrix = sp.csr_matrix((np.maximum(history.weights, 0), history.items, history.indptr), shape=(n_users, n_items))
    empty = [Catalogue(n, {}, np.ones(n, np.uint8), np.full(n, NO_TIME)) for n in (n_items, n_users)]
    ours = Als(AlsConfig(factors=factors, epochs=2)).fit(TrainingData(history, *empty, 0), seed=0, threads=threads)
    theirs = implicit.als.AlternatingLeastSquares(factors=factors, iterations=2, num_threads=threads, random_state=0)
    theirs.fit(matrix, show_progress=False)
    rows = [np.arange(s, min(s + 1024, n_users)) for s in range(0, n_users, 1024)]

    def we():
        for block in rows:
            lo, hi = history.indptr[block[0]], history.indptr[block[-1] + 1]
            part = type(history)(
                len(block),
                n_items,
                history.indptr[block[0] : block[-1] + 2] - lo,
                history.items[lo:hi],
                history.weights[lo:hi],
                history.times[lo:hi],
            )
            mask = np.ones((len(block), n_items), np.uint8)
            mask[np.repeat(np.arange(len(block)), np.diff(part.indptr)), part.items] = 0
            ours.recommend(
                Query(block.astype(np.int32), part, np.zeros(len(block), np.uint8), 0), 20, mask, threads=threads
            )

    def they():
        for block in rows:
            theirs.recommend(block, matrix[block], N=20)

    mine, their = harness.interleaved(we, they, repeats=3)
    with threadpool_limits(threads):
        left, right = np.ones((1024, factors), np.float32), np.ones((factors, n_items), np.float32)
        product = min(harness.seconds(lambda: left @ right, repeats=5)) * n_users / 1024
    return {
        "ours": harness.summary(mine),
        "implicit": harness.summary(their),
        "ratio": round(min(their) / min(mine), 2),
        "matrix_product_alone": product,
    }


def main() -> None:
    args = harness.arguments(__doc__, gowalla="", loop=3000)
    with shops.gowalla(args.gowalla, small=args.small) as engine:
        answer = {
            "pipeline": pipeline(engine, 200 if args.small else args.loop),
            "als_alone": factors_alone(engine, args.threads),
        }
    harness.report("recommend", args, **answer)


if __name__ == "__main__":
    main()
