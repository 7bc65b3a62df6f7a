"""Measure a truncated SVD of Gowalla beside scipy's `svds`, to equal captured energy: seconds, and the energy of each.

Peer: `scipy.sparse.linalg.svds` (ARPACK, float32) on the same degree-normalised matrix, in turns, at two tolerances:
its default, and the loosest of the few tried that still captures as much as ours. Energy of vectors V is |A V|^2, in
shares of what the peer captures at its default. Ours runs with the iterations of the configuration, and with as many
as reach `--share` of that energy. Limit: the bytes of dense rows that the products gather, at the rate of one copy.

    OPENBLAS_NUM_THREADS=2 python -m bench.svd --json
"""

import time

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from bench.als import read, training
from bench.harness import arguments, report
from recengine.algorithms.svd import truncated
from recengine.algorithms.weighting import weighted
from recengine.config import Svd as Config

TOLERANCES = (0.0, 1e-2, 1e-1)


def energy(matrix: sparse.csr_matrix, vectors) -> float:
    return float(np.square(matrix @ np.asarray(vectors, np.float64)).sum())


def timed(run):
    start = time.perf_counter()
    found = run()
    return time.perf_counter() - start, found


def measure(args) -> dict[str, object]:
    """Take the fastest of `--repeats` interleaved runs of each."""
    rows = training(read("train", args.small)).interactions
    matrix = weighted(rows, "normalized", "svd").matrix
    answer: dict[str, object] = {"threads": args.threads, "shape": matrix.shape, "entries": matrix.nnz}
    for rank in [int(k) for k in args.factors.split(",")]:
        _, (_, _, exact) = timed(lambda k=rank: svds(matrix, k=k, random_state=0))
        most = energy(matrix, exact.T)

        def ours(steps, k=rank):
            return truncated(matrix, k, Config().oversampling, steps, seed=0, threads=args.threads)[0]

        shares = {n: energy(matrix, ours(n)) / most for n in {Config().iterations, *range(1, 17)}}
        enough = next((n for n in sorted(shares) if shares[n] >= args.share), max(shares))
        runs = {f"ours_{n}": lambda n=n: ours(n) for n in {Config().iterations, enough}}
        runs |= {
            f"svds_{tol}": lambda tol=tol, k=rank: svds(matrix, k=k, tol=tol, random_state=0)[2].T
            for tol in TOLERANCES
        }
        best, reached = dict.fromkeys(runs, np.inf), dict.fromkeys(runs, 0.0)
        for _ in range(args.repeats):
            for name, run in runs.items():
                passed, vectors = timed(run)
                best[name], reached[name] = min(best[name], passed), energy(matrix, vectors) / most
        equal = min(best[f"svds_{tol}"] for tol in TOLERANCES if reached[f"svds_{tol}"] >= args.share)
        answer[f"factors_{rank}"] = {
            "seconds": {name: round(value, 3) for name, value in best.items()},
            "energy_share": {name: round(value, 5) for name, value in reached.items()},
            "iterations_for_share": enough,
            "ratio_default": round(best["svds_0.0"] / best[f"ours_{Config().iterations}"], 2),
            "ratio_equal_loss": round(equal / best[f"ours_{enough}"], 2),
            "limit_gathered_bytes": 2 * (enough + 1) * matrix.nnz * (rank + Config().oversampling) * 4,
        }
    return answer


def main() -> None:
    args = arguments(__doc__, factors="64", repeats=2, share=0.9999)
    if args.small:
        args.factors, args.repeats = "8", 1
    report("truncated SVD on Gowalla", args, **measure(args))


if __name__ == "__main__":
    main()
