"""Measure NMF of Gowalla beside scikit-learn's coordinate descent: seconds to equal loss, from the same start.

Peer: `sklearn.decomposition.NMF(solver="cd", init="custom")`, float32, on the same degree-normalised matrix; both start
from the same random parts. Loss is |A - W H^T|^2 / 2 without regularisation, evaluated by one function. The peer runs
`--iterations` sweeps, ours until it is as low. Limit: multiply-adds of the two sparse products of our epochs.

    OPENBLAS_NUM_THREADS=2 python -m bench.nmf --json
"""

import time
import warnings

import numpy as np
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

from bench.als import read, training
from bench.harness import arguments, report
from recengine.algorithms.nmf import factorised
from recengine.algorithms.weighting import weighted
from recengine.config import Nmf as Config


def objective(matrix, w, h) -> float:
    w, h = np.asarray(w, np.float64), np.asarray(h, np.float64)
    cross = float(np.einsum("ij,ij->", matrix @ h, w))
    square = float(np.square(matrix.data, dtype=np.float64).sum())
    return (square - 2 * cross + float(((w.T @ w) * (h.T @ h)).sum())) / 2


def measure(args) -> dict[str, object]:
    """Give the peer's loss after its sweeps, and how long ours takes to be at least as low."""
    matrix = weighted(training(read("train", args.small)).interactions, "normalized", "nmf").matrix
    answer: dict[str, object] = {"threads": args.threads, "shape": matrix.shape, "entries": matrix.nnz}
    for factors in [int(k) for k in args.factors.split(",")]:

        def ours(epochs, k=factors):
            config = Config(factors=k, epochs=epochs, tolerance=0.0)
            return factorised(matrix, config, seed=0, threads=args.threads)

        start = ours(0)
        peer = NMF(factors, solver="cd", init="custom", max_iter=args.iterations, tol=0.0)
        begun = [np.ascontiguousarray(side[:, :factors]) for side in (start.users, start.items)]

        def theirs(peer=peer, begun=begun):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # it is asked for a number of sweeps
                w = peer.fit_transform(matrix, W=begun[0].copy(), H=np.ascontiguousarray(begun[1].T))
            return w, peer.components_.T

        wanted = objective(matrix, *theirs())
        reached = {}
        for epochs in range(1, args.iterations + 1):
            parts = ours(epochs)
            reached[epochs] = objective(matrix, parts.users, parts.items)
            if reached[epochs] <= wanted:
                break
        enough = max(reached)
        seconds: dict[str, list[float]] = {"ours": [], "sklearn": []}
        for _ in range(args.repeats):
            for name, run in (("ours", lambda e=enough: ours(e)), ("sklearn", theirs)):
                begin = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - begin)
        answer[f"factors_{factors}"] = {
            "seconds": {name: round(min(times), 3) for name, times in seconds.items()},
            "epochs": enough,
            "loss": round(reached[enough], 2),
            "sklearn_sweeps": args.iterations,
            "sklearn_loss": round(wanted, 2),
            "equal_loss": reached[enough] <= wanted,
            "ratio": round(min(seconds["sklearn"]) / min(seconds["ours"]), 2),
            "limit_multiply_adds": 2 * enough * matrix.nnz * factors,
        }
    return answer


def main() -> None:
    args = arguments(__doc__, factors="64", iterations=20, repeats=1)
    if args.small:
        args.factors, args.iterations = "8", 5
    report("NMF on Gowalla", args, **measure(args))


if __name__ == "__main__":
    main()
