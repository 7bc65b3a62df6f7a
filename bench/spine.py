"""What does one uncached request cost, stage by stage, beside the budget of the design?

CPU time of one thread (`thread_time`), median over users drawn at random, on the demo shop (2,000 items) and on Gowalla
(40,981 items). The limit: exact candidates from one factor model read items x factors x 4 bytes, 10.5 MB on Gowalla,
which alone takes about 0.2 ms from a cache of 50 GB/s; an approximate index is what goes below.
The naive baseline beside it is one model alone: implicit's ALS `recommend` for one user.
"""

import statistics
import time

import implicit
import numpy as np
import scipy.sparse as sp

from bench import harness, shops
from recengine import Engine, Request

BUDGET = {
    "context": 10,
    "features": 40,
    "eligibility": 10,
    "candidates": 40,
    "scoring": 40,
    "ensemble": 0,
    "rules": 15,
    "diversity": 30,
    "response": 20,
}
"""CPU microseconds of the design.

Its scoring also has 60 for neural models and 80 for a forest, which do not run here.
"""


def stages(engine: Engine, requests: int) -> dict[str, float]:
    """Median CPU microseconds of each stage and of the whole."""
    spine = engine.spine()
    users = shops.some(engine.users(), requests + 200)
    for user in users[:200]:
        spine.recommend([Request(user_id=user)])
    rows: dict[str, list[float]] = {}
    for user in users[200:]:
        start = time.thread_time_ns()
        _, trace = spine.recommend([Request(user_id=user)])
        rows.setdefault("total", []).append((time.thread_time_ns() - start) / 1e3)
        for stage, taken in trace.times.items():
            rows.setdefault(stage, []).append(taken / 1e3)
    return {stage: round(statistics.median(values), 1) for stage, values in rows.items()}


def alone(engine: Engine, requests: int) -> float:
    """Median CPU microseconds of implicit's ALS `recommend` (64 factors) for one user of the same catalogue."""
    history = engine.interactions()
    matrix = sp.csr_matrix(
        (np.maximum(history.weights, 0), history.items, history.indptr), shape=(history.n_users, history.n_items)
    )
    model = implicit.als.AlternatingLeastSquares(factors=64, iterations=1, num_threads=1, random_state=0)
    model.fit(matrix, show_progress=False)
    times = []
    for user in np.random.default_rng(0).integers(0, history.n_users, requests):
        start = time.thread_time_ns()
        model.recommend(int(user), matrix[int(user)], N=10)
        times.append((time.thread_time_ns() - start) / 1e3)
    return round(statistics.median(times), 1)


def main() -> None:
    args = harness.arguments(__doc__, gowalla="", demo="", requests=2000)
    requests = 50 if args.small else args.requests
    answer = {}
    for name, open_shop, keep in (("demo", shops.demo, args.demo), ("gowalla", shops.gowalla, args.gowalla)):
        with open_shop(keep, small=args.small) as engine:
            count = min(requests, len(engine.users()) - 200)
            answer[name] = stages(engine, count) | {"implicit_als_alone": alone(engine, min(count, 300))}
    harness.report("spine", args, budget=BUDGET | {"total": 345}, **answer)


if __name__ == "__main__":
    main()
