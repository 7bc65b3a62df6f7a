"""Measure the fold-in of one user's 50 events into 64 factors, through the kernel's door.

Peer: the normal equations in numpy with a ready Gram matrix (float32, LAPACK solve). Limit: the dual needs
n^2 f / 2 + n^3 / 6 multiply-adds, 16 or 32 of them a cycle on one core with AVX-512.

    python -m bench.foldin --json
"""

import numpy as np

from bench.harness import arguments, interleaved, report, summary
from recengine.kernels import als


def main() -> None:
    args = arguments(__doc__, events=50, factors=64, items=40_000, rounds=2000)
    items, rounds = (500, 20) if args.small else (args.items, args.rounds)
    rng = np.random.default_rng(0)
    width = als.padded(args.factors)
    plain = rng.normal(0, 0.1, (items, width)).astype(np.float32)
    gram = als.gram(plain)
    values, basis = np.linalg.eigh(gram)
    turned = plain.copy()
    als.rotate(turned, basis.astype(np.float32))
    spectrum = (0.1 * values).astype(np.float32)
    history = rng.choice(items, args.events, replace=False).astype(np.int32)
    indptr, weights = np.array([0, args.events]), np.ones(args.events, np.float32)
    objective = als.Objective(1.0, 0.003, 0.1 * items, 1.0)
    base = (0.1 * gram + 0.003 * (args.events + 0.1 * items) * np.eye(width)).astype(np.float32)

    def ours() -> np.ndarray:
        for _ in range(rounds):
            out = als.fold_in(turned, indptr, history, weights, spectrum, objective)
        return out[0]

    def numpy_solve() -> np.ndarray:
        for _ in range(rounds):
            z = plain[history]
            out = np.linalg.solve(base + z.T @ (z * weights[:, None]), z.T @ weights)
        return out

    difference = float(np.abs(ours() @ basis.T - numpy_solve()).max() / np.abs(numpy_solve()).max())
    mine, theirs = interleaved(ours, numpy_solve, repeats=7)
    micro = [{k: round(v / rounds * 1e6, 2) for k, v in summary(t).items()} for t in (mine, theirs)]
    n, f = args.events, width
    report(
        "fold-in of one user",
        args,
        events=n,
        factors=args.factors,
        microseconds=micro[0],
        numpy_microseconds=micro[1],
        ratio=round(micro[1]["median"] / micro[0]["median"], 2),
        relative_difference=difference,
        limit={"multiply_adds": n * n * f // 2 + n**3 // 6, "cycles_at_16_a_cycle": (n * n * f // 2 + n**3 // 6) // 16},
    )


if __name__ == "__main__":
    main()
