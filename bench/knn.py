"""Time the top-100 cosine build of item-KNN beside `implicit`, and one request.

Both build from the same users x items matrix of Gowalla, weighting and transposing included, in turns. Limits stated: a
build must do one multiply-add for every pair of items in every history, and each reads 8 bytes of a row; at the rate
at which this machine streams memory that is the floor in seconds, were the scattered sums free.
"""

import time

import numpy as np
import pyarrow.parquet as pq
from implicit.nearest_neighbours import CosineRecommender
from scipy import sparse

from bench import data, harness
from recengine.algorithms.knn import ItemKnn
from recengine.algorithms.user_knn import UserKnn
from recengine.config import ItemKnn as ItemKnnConfig
from recengine.config import UserKnn as UserKnnConfig
from recengine.types import Catalogue, Interactions, Query, TrainingData

NEIGHBORS = 100
HISTORY = 50


def matrix(small):
    if small:
        return sparse.random(300, 500, density=0.05, format="csr", dtype=np.float32, rng=0, data_rvs=np.ones)
    table = pq.read_table(data.require("gowalla/train.parquet"))
    users, items = table["user"].to_numpy(), table["item"].to_numpy()
    return sparse.csr_matrix((np.ones(len(users), np.float32), (users, items)))


def training(users):
    n_users, n_items = users.shape
    rows = (users.indptr.astype(np.int64), users.indices.astype(np.int32), users.data)
    found = Interactions(n_users, n_items, *rows, np.zeros(users.nnz, np.int64))
    return TrainingData(
        found, *(Catalogue(n, {}, np.ones(n, np.uint8), np.zeros(n, np.int64)) for n in (n_items, n_users)), 0
    )


def query(n_items):
    """One user who is new to the model, with 50 items drawn uniformly."""
    items = np.random.default_rng(0).choice(n_items, HISTORY, replace=False).astype(np.int32)
    rows = (np.array([0, HISTORY], np.int64), items, np.ones(HISTORY, np.float32), np.zeros(HISTORY, np.int64))
    return Query(np.array([-1], np.int32), Interactions(1, n_items, *rows), np.ones(1, np.uint8), 0)


def streaming_rate():
    """Bytes a second that one core reads."""
    block = np.ones(1 << 25, np.float32)
    return block.nbytes / min(harness.seconds(block.sum, repeats=5))


def microseconds(ask, repeats=300):
    return 1e6 * float(np.median(harness.seconds(ask, repeats=repeats, warmup=20)))


def main():
    args = harness.arguments(__doc__)
    users = matrix(args.small)
    learned_from = training(users)
    settings = {"neighbors": NEIGHBORS, "weighting": "plain", "shrinkage": 0.0, "history_limit": 1_000_000}
    ours = ItemKnn(ItemKnnConfig(**settings))
    peer = CosineRecommender(K=NEIGHBORS, num_threads=args.threads)
    spent = {"recengine": 0.0, "implicit": 0.0}

    def timed(name, build):
        def run():
            start = time.process_time()
            build()
            spent[name] += time.process_time() - start

        return run

    mine, theirs = harness.interleaved(
        timed("recengine", lambda: ours.fit(learned_from, threads=args.threads)),
        timed("implicit", lambda: peer.fit(users, show_progress=False)),
        repeats=5,
    )
    additions = int((np.diff(users.indptr).astype(np.int64) ** 2).sum())
    rate = streaming_rate()
    by_user = UserKnn(UserKnnConfig()).fit(learned_from, threads=args.threads)
    asked, mask = query(users.shape[1]), np.ones((1, users.shape[1]), np.uint8)
    pool = np.sort(np.random.default_rng(1).choice(users.shape[1], min(1000, users.shape[1]), replace=False)).astype(
        np.int32
    )
    ends = np.array([0, len(pool)], np.int64)
    harness.report(
        "knn",
        args,
        users=users.shape[0],
        items=users.shape[1],
        entries=users.nnz,
        threads=args.threads,
        recengine_seconds=harness.summary(mine),
        implicit_seconds=harness.summary(theirs),
        times_faster=float(np.median(np.array(theirs) / np.array(mine))),
        times_less_cpu=spent["implicit"] / spent["recengine"],
        limit={
            "multiply_adds": additions,
            "bytes": 8 * additions,
            "bytes_per_second_one_core": rate,
            "seconds_at_that_rate": 8 * additions / rate / args.threads,
        },
        request_microseconds={
            "item_knn_recommend_100": microseconds(lambda: ours.recommend(asked, 100, mask)),
            "item_knn_score_1000": microseconds(lambda: ours.score(asked, ends, pool)),
            "user_knn_recommend_100_on_the_fly": microseconds(lambda: by_user.recommend(asked, 100, mask)),
            "user_knn_score_1000_on_the_fly": microseconds(lambda: by_user.score(asked, ends, pool)),
        },
    )


if __name__ == "__main__":
    main()
