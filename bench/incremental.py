"""What does an increment of 1 % new events cost beside a full training, and what does it lose?

Gowalla's training part in a fixed random order, the order being time: the first 89 % are trained in full, 1 % come new,
and the last 10 % judge. Both answers to the 1 % start from the same directory: `Engine.train(incremental=True)`, and
`Engine.train()` as users run it. NDCG@20 over the items that users met in the last 10 %, full ranking of what serving
would show, is that of the increment, of the full training, and of the deployment that knows nothing of the 1 %.
A third copy makes the same increment while requests are answered, one every 10 ms: their milliseconds beside those of
the same requests before it, and the memory that the increment takes beyond what the process has.
The limit stated: writing the version's bytes once, after verifying what is there: no increment can do without.
"""

import argparse
import itertools
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench import data, harness
from recengine import Engine
from recengine.metrics.ranking import evaluate
from recengine.offline.build import NEVER, Part, rows_of
from recengine.offline.rank import blended

COLUMNS = {"user": "user", "item": "item", "order": "order"}
AT = 20
JUDGED = 10_000
"""Users drawn with seed 0."""


def rows(*, small: bool) -> pa.Table:
    """Read Gowalla in an order drawn with seed 0."""
    table = pq.read_table(data.require("gowalla/train.parquet"))
    if small:
        table = table.slice(0, 40_000)
    table = table.take(np.random.default_rng(0).permutation(table.num_rows))
    return table.append_column("order", pa.array(np.arange(table.num_rows)))


def ndcg(engine: Engine, later: pa.Table) -> float:
    """Judge the live deployment by what users met later and had not met by now."""
    live = engine.spine().deployment
    known, _ = engine._state.known()  # noqa: SLF001 - what serving goes by
    ids = engine._ids  # noqa: SLF001
    user, item = (
        np.array([vocabulary.row(str(name)) for name in later[column].to_pylist()], np.int64)
        for vocabulary, column in ((ids.users, "user"), (ids.items, "item"))
    )
    both = (user >= 0) & (item >= 0)
    met = known.interactions
    n = met.n_items
    old = np.repeat(np.arange(met.n_users, dtype=np.int64), np.diff(met.indptr)) * n + met.items
    new = both & ~np.isin(user * n + item, old)
    targets = rows_of(user[new].astype(np.int32), item[new].astype(np.int32), n)
    part = Part(known, (met.indptr, met.items), targets, NEVER, NEVER, np.empty(0, np.int64))
    drawn = np.sort(np.random.default_rng(0).permutation(len(targets.users))[:JUDGED])
    users = targets.users[drawn]
    lists = blended(live, part, users, AT, engine.config, threads=2)
    indptr = np.concatenate(([0], np.cumsum(np.diff(targets.indptr)[drawn]))).astype(np.int64)
    wanted = np.concatenate([targets.items[targets.indptr[r] : targets.indptr[r + 1]] for r in drawn])
    return float(evaluate(lists, indptr, wanted, AT)["ndcg"].mean())


def floor(engine: Engine, folder: Path) -> float:
    """Seconds to read and hash the live version, and to write as many bytes."""
    start = time.perf_counter()
    version = engine.artifacts.open()
    target = folder / "copied"
    shutil.copytree(version, target)
    seconds = time.perf_counter() - start
    shutil.rmtree(target)
    return seconds


class Asking(threading.Thread):
    """Ask for one list every 10 ms, of another user each time, and watch how much memory the process has."""

    def __init__(self, engine: Engine, users: list[str]) -> None:
        super().__init__(daemon=True)
        self.engine, self.users, self.ended = engine, users, threading.Event()
        self.taken: list[float] = []
        self.most = 0

    def run(self) -> None:
        """Ask until it is ended."""
        for user in itertools.cycle(self.users):
            start = time.perf_counter()
            self.engine.recommend(user, 10)
            self.taken.append(1e3 * (time.perf_counter() - start))
            self.most = max(self.most, anonymous())
            if self.ended.wait(0.01):
                return

    def answer(self) -> dict[str, float]:
        """End it; returns milliseconds of a request."""
        self.ended.set()
        self.join()
        half, most = np.percentile(self.taken, [50, 99])
        return {"requests": len(self.taken), "p50_ms": round(float(half), 2), "p99_ms": round(float(most), 2)}


def anonymous() -> int:
    """Bytes of memory that no file stands for."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


def beside(engine: Engine, threads: int) -> dict[str, Any]:
    """Make the increment while requests are answered; the same requests alone before it."""
    users = list(engine.users())
    np.random.default_rng(0).shuffle(users)
    alone = Asking(engine, users[::2])
    alone.start()
    time.sleep(3)
    before, told = anonymous(), alone.answer()
    during = Asking(engine, users[1::2])
    during.start()
    engine.train(incremental=True, threads=threads)
    return {
        "requests_alone": told,
        "requests_beside": during.answer(),
        "memory_mb": round((during.most - before) / 1e6),
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure both ways from one directory."""
    table = rows(small=args.small)
    n = table.num_rows
    base, new, later = table.slice(0, int(n * 0.89)), table.slice(int(n * 0.89), n // 100), table.slice(int(n * 0.9))
    answer: dict[str, Any] = {"events": base.num_rows, "new_events": new.num_rows}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Engine.open(folder / "base", create=True) as engine:
            engine.ingest(events=base, columns=COLUMNS)
            engine.train(force=True, threads=args.threads)
        for way, options in (("incremental", {"incremental": True}), ("full", {"force": True})):
            shutil.copytree(folder / "base", folder / way)
            with Engine.open(folder / way) as engine:
                engine.ingest(events=new, columns=COLUMNS)
                if way == "incremental":
                    answer["ndcg_before"] = ndcg(engine, later)
                start, spent = time.perf_counter(), time.process_time()
                report = engine.train(threads=args.threads, **options)
                answer[f"{way}_seconds"] = time.perf_counter() - start
                answer[f"{way}_cpu_seconds"] = time.process_time() - spent
                answer[f"ndcg_{way}"] = ndcg(engine, later)
                if way == "incremental":
                    answer["models"] = {model.name: round(model.seconds, 3) for model in report.models}
                    answer["overlap"] = report.continuity.overlap
                    answer["floor_seconds"] = floor(engine, folder)
        shutil.copytree(folder / "base", folder / "served")
        with Engine.open(folder / "served") as engine:
            engine.ingest(events=new, columns=COLUMNS)
            answer |= beside(engine, args.threads)
    answer["times_faster"] = answer["full_seconds"] / answer["incremental_seconds"]
    answer["times_less_cpu"] = answer["full_cpu_seconds"] / answer["incremental_cpu_seconds"]
    answer["ndcg_kept"] = answer["ndcg_incremental"] / answer["ndcg_full"]
    return answer


def main() -> None:
    args = harness.arguments(__doc__)
    harness.report("incremental", args, **measure(args))


if __name__ == "__main__":
    main()
