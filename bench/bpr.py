"""Measure a BPR epoch over Gowalla beside implicit's, what determinism costs ours, and recall on a held-out part.

Peer: implicit's BayesianPersonalizedRanking on the CPU, in turns with ours: float32, uniform draws of a positive, its
negatives in proportion to popularity and those that the user has engaged with left out, threads that overwrite one
another (hogwild). It keeps the bias among its `factors`: it gets one more. Ours is timed with the same loss
(`hardest_of` 1, negatives by popularity ** 1); `hardest_*` is an epoch as the default settings make it. `cpu_*` is
processor time with one thread: on a shared machine it is the steadier figure, and threads that wait do not count.

What determinism costs: `one_part_*` is one thread over one part, which need not sort the entries into pairs of parts
nor wait at the end of a round; beside it `cpu_seconds` is the same work in parts.
Limit: bytes of vectors that the steps read and write, and their multiply-adds.

Recall@20: a tenth of every training user's items is held out, `asked` users are asked; the test part is not looked at.
`folded` is the same model when every vector is folded in from the history and none is looked up.

    OPENBLAS_NUM_THREADS=1 python -m bench.bpr --json
    OPENBLAS_NUM_THREADS=1 python -m bench.bpr --json --recall 1        minutes: fits ours, als and item_knn
"""

import time
from itertools import pairwise

import msgspec
import numpy as np
from implicit.bpr import BayesianPersonalizedRanking as Peer
from scipy import sparse

from bench.als import TUNED as ALS_TUNED
from bench.als import held_out, read, recall, timed, training
from bench.harness import arguments, report
from recengine.algorithms import bpr
from recengine.algorithms.registry import create
from recengine.config import Als, ItemKnn, ModelConfig
from recengine.config import Bpr as Config
from recengine.kernels import bpr as kernel
from recengine.types import Interactions, Query, TrainingData

TUNED = {"epochs": 70, "learning_rate": 0.15, "regularization": 0.02, "hardest_of": 32}
"""What ranks best on the held-out part of Gowalla, of 28 tried: .1914. With `hardest_of` 16 and 100 epochs: .1902 at
regularization .025, .1883 at .015, .1804 at .007. Plain draws (`hardest_of` 1) reached .142,
by popularity ** .5 .143."""


class Ours:
    """Our epochs one at a time, as `fit` runs them."""

    def __init__(self, rows: TrainingData, config: Config, threads: int, *, parts: int | None = None) -> None:
        self.entries, self.config, self.threads = bpr._Entries(rows.interactions), config, threads  # noqa: SLF001
        self.rng = np.random.default_rng(0)
        width = kernel.padded(config.factors)
        shape = (self.entries.n_users, self.entries.n_items)
        self.vectors = [bpr._start(self.rng, n, config.factors, width) for n in shape]  # noqa: SLF001
        self.vectors.append(np.zeros(self.entries.n_items, np.float32))
        sizes = (len(part) for part in (self.entries.users, self.entries.items_sold, self.entries.items))
        self.parts = parts or kernel.blocks(*sizes, width)
        self.mass = bpr._mass(config, self.entries.engaged)  # noqa: SLF001

    def epoch(self) -> None:
        """Draw the parts, and step every entry."""
        e, c = self.entries, self.config
        order = self.rng.permutation(e.users)
        urn = kernel.urn(self.rng.permutation(e.items_sold), self.mass, self.parts, threads=self.threads)
        key = int(self.rng.integers(0, 1 << 63))
        kernel.epoch(
            e.indptr, e.items, e.weights, order, urn, *self.vectors, rate=c.learning_rate,
            regularization=c.regularization, key=key, negatives_each=c.negatives, hardest_of=c.hardest_of,
            threads=self.threads,
        )  # fmt: skip


def speed(matrix: sparse.csr_matrix, args) -> dict[str, object]:
    """Time epochs in turns."""
    rows = training(matrix)
    same = Config(factors=args.factors, hardest_of=1, popularity_exponent=1.0)
    found: dict[str, object] = {}
    for threads, kind in ((args.threads, 0), (1, 1)):  # the clock with all threads, the processor's time with one
        runs = {
            "": Ours(rows, same, threads),
            "hardest_": Ours(rows, Config(factors=args.factors), threads),
            "one_part_": Ours(rows, same, 1, parts=1),
        }
        times: dict[str, list[float]] = {name: [] for name in (*runs, "implicit_")}
        peer = Peer(factors=args.factors, iterations=2, num_threads=threads, verify_negative_samples=True)
        marks: list[tuple[float, float]] = []

        def mark(*_, marks=marks) -> None:
            marks.append((time.perf_counter(), time.process_time()))

        for _ in range(args.repeats):
            for name, ours in runs.items():
                times[name].append(timed(ours.epoch)[kind])
            marks.clear()
            peer.fit(matrix, show_progress=False, callback=mark)
            times["implicit_"] += [b[kind] - a[kind] for a, b in pairwise(marks)]
        prefix = ("", "cpu_")[kind]
        found |= {f"{name}{prefix}seconds": round(min(spent), 4) for name, spent in times.items()}
        found[f"{prefix}ratio"] = round(min(times["implicit_"]) / min(times[""]), 2)
        found[f"median_{prefix}ratio"] = round(float(np.median(times["implicit_"]) / np.median(times[""])), 2)
        found["parts"] = runs[""].parts
    found["limit_multiply_adds"] = 5 * matrix.nnz * args.factors
    found["limit_bytes"] = 2 * 3 * matrix.nnz * args.factors * 4
    return found


def ranked(config: ModelConfig, matrix: sparse.csr_matrix, held: sparse.csr_matrix, threads: int) -> dict[str, object]:
    """Fit, and say recall by looked-up vectors, by folded ones, and the seconds of the fit."""
    rows = training(matrix)
    model = create(config)
    wall, cpu = timed(lambda: model.fit(rows, threads=threads))
    found: dict[str, object] = {"seconds": round(wall, 1), "cpu_seconds": round(cpu, 1)}
    for name, changed in (("recall", 0), ("folded", 1)):
        top = asking(model, rows.interactions, changed, threads)
        found[name] = round(recall(matrix, held, top), 4)
    return found


def asking(model, rows: Interactions, changed: int, threads: int):
    def top(users, mask):
        spans = [np.arange(rows.indptr[u], rows.indptr[u + 1]) for u in users]
        flat, indptr = np.concatenate(spans), np.cumsum([0, *map(len, spans)]).astype(np.int64)
        own = msgspec.structs.replace(
            rows, n_users=len(users), indptr=indptr, items=rows.items[flat], weights=rows.weights[flat],
            times=rows.times[flat],
        )  # fmt: skip
        query = Query(users, own, np.full(len(users), changed, np.uint8), 0)
        return model.recommend(query, 20, mask, threads=threads).items

    return top


def measure(args) -> dict[str, object]:
    """Answer as `main` prints it."""
    matrix = read("train", args.small)
    answer: dict[str, object] = {"threads": args.threads, "factors": args.factors, **speed(matrix, args)}
    if args.recall:
        part, held = held_out(matrix, args.asked)
        rivals = {
            "default": Config(),
            "tuned": Config(**TUNED),
            "als_64": Als(factors=64, epochs=8, **ALS_TUNED),
            "item_knn": ItemKnn(),
        }
        if args.small:
            rivals = {"default": Config(epochs=2), "item_knn": ItemKnn()}
        answer["held_out_recall_at_20"] = {n: ranked(c, part, held, args.threads) for n, c in rivals.items()}
    return answer


def main() -> None:
    args = arguments(__doc__, factors=64, repeats=5, recall=0, asked=4000)
    if args.small:
        args.factors, args.repeats, args.recall, args.asked = 16, 2, 1, 50
    report("BPR on Gowalla", args, **measure(args))


if __name__ == "__main__":
    main()
