"""Ask how fast 50 of 1,000 candidates are arranged for variety (64 factors, weight .7).

The baseline is incremental numpy: vectors gathered once, one matrix-vector product and one maximum a pick, O(n N d).
The limit of any such loop is its multiply-adds at the rate of a float32 matrix product on one thread; the kernel may
fall below it, because it leaves alone the candidates that cannot win. Three inputs: item vectors in 40 clusters with
ranked relevance (what the spine sees); the same unranked; equal relevance, where all must be looked at (worst case).
"""

import numpy as np
from threadpoolctl import threadpool_limits

from bench import harness
from recengine.kernels.mmr import mmr

FACTORS = 64


def numpy_mmr(items, relevance, vectors, n, weight):
    """Arrange one row incrementally."""
    own = vectors[items]
    span = relevance.max() - relevance.min()
    gain_of = (relevance - relevance.min()) / (span if span > 0 else 1) * weight
    closest = np.zeros(len(items), np.float32)
    picks = np.empty(n, np.int64)
    picks[0] = at = int(np.argmax(relevance))
    away = np.float32(1 - weight)
    gain = np.empty_like(closest)
    for step in range(1, n):
        gain_of[at] = -np.inf
        np.maximum(closest, own @ own[at], out=closest)
        np.multiply(closest, -away, out=gain)
        gain += gain_of
        picks[step] = at = int(gain.argmax())
    return picks


def main():
    args = harness.arguments(__doc__)
    candidates, n, n_items = (100, 10, 500) if args.small else (1000, 50, 40_981)
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((40, FACTORS))
    vectors = centres[rng.integers(0, 40, n_items)] + 0.5 * rng.standard_normal((n_items, FACTORS))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    items = rng.permutation(n_items)[:candidates].astype(np.int32)
    unranked = rng.standard_normal(candidates).astype(np.float32)
    ranked = np.sort(unranked)[::-1].copy()
    indptr, weight = np.array([0, candidates]), np.array([0.7], np.float32)
    square = rng.standard_normal((512, 512), dtype=np.float32)
    answer = {}
    with threadpool_limits(1):
        rate = 2 * 512**3 / min(harness.seconds(lambda: square @ square, repeats=20))
        for name, relevance in (("ranked", ranked), ("unranked", unranked), ("equal_relevance", unranked * 0)):
            ours, naive = harness.interleaved(
                lambda r=relevance: mmr(items, r, indptr, vectors, n, weight),
                lambda r=relevance: numpy_mmr(items, r, vectors, n, np.float32(0.7)),
                repeats=5 if args.small else 300,
                warmup=3,
            )
            mine, baseline = harness.summary(ours), harness.summary(naive)
            picks = mmr(items, relevance, indptr, vectors, n, weight)[0]
            same = picks == numpy_mmr(items, relevance, vectors, n, np.float32(0.7))
            answer[name] = {
                "ours_seconds": mine,
                "numpy_seconds": baseline,
                "times_faster_than_numpy": baseline["median"] / mine["median"],
                "same_picks": float(same.mean()),
            }
    flops = 2 * (n - 1) * candidates * FACTORS
    harness.report(
        "mmr", args, candidates=candidates, factors=FACTORS, n=n, weight=0.7, **answer,
        flops=flops, blas_gflops=rate / 1e9, flop_limit_seconds=flops / rate,
    )  # fmt: skip


if __name__ == "__main__":
    main()
