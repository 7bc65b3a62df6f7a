"""Ask how fast the best of all items are found: one user over 1 M items, a batch of users over 40,981.

One user reads every factor once, so the limit is the memory's bandwidth: a plain streaming sum of the same bytes by
the same number of threads. Beside it numpy's `argpartition(V @ u)`. For a batch the limit is multiply-adds (a float32
matrix product by numpy's BLAS, which leaves the scores unranked), and the peer is `implicit.cpu.topk.topk`, which its
models' `recommend` calls, with the same seen items filtered. All rivals run in turns in one process.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse as sp
from implicit.cpu.topk import topk as implicit_topk
from threadpoolctl import threadpool_limits

from bench import harness
from recengine.kernels.dot import dot_topk, pack

FACTORS = 64


def one_user(args):
    """Time one query against a catalogue that does not fit any cache."""
    n_items, n = (20_000, 100) if args.small else (1_000_000, 100)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((n_items, FACTORS), dtype=np.float32)
    user = rng.standard_normal((1, FACTORS), dtype=np.float32)
    packed = pack(vectors)
    halves = np.array_split(packed.panels.reshape(-1), args.threads)
    with ThreadPoolExecutor(args.threads) as workers:
        ours, stream, numpy_way = harness.interleaved(
            lambda: dot_topk(user, packed, n, threads=args.threads),
            lambda: list(workers.map(np.sum, halves)),
            lambda: np.argpartition(-(vectors @ user[0]), n)[:n],
            repeats=3 if args.small else 15,
        )
    gigabytes = packed.panels.nbytes / 1e9
    mine, limit, naive = (harness.summary(t) for t in (ours, stream, numpy_way))
    assert set(dot_topk(user, packed, n).items[0]) == set(np.argpartition(-(vectors @ user[0]), n)[:n])  # noqa: S101
    return {
        "items": n_items,
        "factors": FACTORS,
        "n": n,
        "threads": args.threads,
        "ours_seconds": mine,
        "limit_seconds": limit,
        "numpy_seconds": naive,
        "ours_gb_per_second": gigabytes / mine["median"],
        "limit_gb_per_second": gigabytes / limit["median"],
        "times_the_limit": mine["median"] / limit["median"],
        "times_faster_than_numpy": naive["median"] / mine["median"],
    }


def batch(args):
    """Time a batch of users with their seen items hidden."""
    users, n_items, n = (32, 2_000, 20) if args.small else (1024, 40_981, 20)
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((n_items, FACTORS), dtype=np.float32)
    queries = rng.standard_normal((users, FACTORS), dtype=np.float32)
    seen = sp.random(users, n_items, density=27 / n_items, format="csr", random_state=1, dtype=np.float32)
    mask = np.ones((users, n_items), np.uint8)
    mask[seen.nonzero()] = 0
    packed = pack(vectors)
    with threadpool_limits(args.threads):
        ours, theirs, product = harness.interleaved(
            lambda: dot_topk(queries, packed, n, mask, threads=args.threads),
            lambda: implicit_topk(vectors, queries, n, filter_query_items=seen, num_threads=args.threads),
            lambda: queries @ vectors.T,
            repeats=3 if args.small else 9,
        )
    same = dot_topk(queries, packed, n, mask).items == implicit_topk(vectors, queries, n, filter_query_items=seen)[0]
    mine, peer, limit = (harness.summary(t) for t in (ours, theirs, product))
    return {
        "users": users,
        "items": n_items,
        "factors": FACTORS,
        "n": n,
        "threads": args.threads,
        "ours_seconds": mine,
        "implicit_seconds": peer,
        "blas_product_alone_seconds": limit,
        "users_per_second": users / mine["median"],
        "gflops": 2e-9 * users * n_items * FACTORS / mine["median"],
        "times_faster_than_implicit": peer["median"] / mine["median"],
        "times_the_blas_product": mine["median"] / limit["median"],
        "same_items": float(same.mean()),
    }


def main():
    args = harness.arguments(__doc__)
    harness.report("topk", args, one_user=one_user(args), batch=batch(args))


if __name__ == "__main__":
    main()
