"""How many events a second become durable and felt, one a call, and how soon is the engine back after a crash?

rates    `Engine.record(event)` from 1, 8 and 32 threads that wait for each answer (closed loop), beside two others in
         turns: `duckdb`, the naive group commit (a thread takes what waits, inserts it as one batch, commits), and
         `raw`, the physical limit: for each group the same bytes appended to a file and one fdatasync, by one thread
         that waits for nobody (a group = as many events as there are threads). `soon` is `Engine.record_soon` from one
         thread with as many unanswered, as the HTTP service calls it.
restart  a store with a million events (Gowalla's and made ones, trained) and a tail of 100,000 frames in the journal
         that the database lacks: seconds from the start of a process to its first answer, part by part.

`cpu_us` is the process's CPU time an event, with making the event and what follows behind (DuckDB) in it; `best_rate`
is that of the round that was disturbed least.

    python -m bench.journal --json
"""

import itertools
import json
import os
import queue
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from bench import harness, shops
from recengine import Engine, Event
from recengine.config import Storage
from recengine.store.recovery import open_store
from recengine.types import Receipt
from recengine.types.frames import EventFrame, encode_frame

FIRST_ANSWER = """
import json, sys, time
from pathlib import Path
imported = time.time()
from recengine import Engine
began = time.time()
engine = Engine.open(sys.argv[1])
opened = time.time()
reply = engine.recommend(sys.argv[2])
answered = time.time()
assert len(reply.items) == 10
started = float(sys.argv[3])
parts = {"interpreter": imported - started, "import": began - imported, "open": opened - began}
whole = {"first_answer": answered - opened, "ready": answered - started, "cpu": time.process_time()}
whole["replayed"] = engine.replayed
print(json.dumps(parts | whole), flush=True)
engine.close()
"""


class Naive:
    """Group commit straight into DuckDB: one thread, one transaction for all that waits."""

    def __init__(self, file: Path) -> None:
        self._con = duckdb.connect(str(file))
        self._con.execute("CREATE TABLE events (event_id VARCHAR, user_id VARCHAR, item_id VARCHAR, type VARCHAR)")
        self._calls: queue.SimpleQueue[tuple[Event, threading.Lock] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def record(self, event: Event) -> None:
        """Return when `event` is committed."""
        ready = threading.Lock()
        ready.acquire()
        self._calls.put((event, ready))
        ready.acquire()

    def close(self) -> None:
        """Stop."""
        self._calls.put(None)
        self._thread.join()
        self._con.close()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            group = [call, *(self._calls.get() for _ in range(self._calls.qsize()))]
            calls = [one for one in group if one is not None]
            names = ("event_id", "user_id", "item_id", "type")
            rows = {name: np.array([getattr(event, name) for event, _ in calls], object) for name in names}
            self._con.register("rows", rows)
            self._con.execute("INSERT INTO events SELECT * FROM rows")
            for _, ready in calls:
                ready.release()
            if len(calls) < len(group):
                return


def closed_loop(record: Callable[[Event], Any], threads: int, seconds: float, events: "Events") -> dict[str, float]:
    """Call `record` from so many threads for so long."""
    end = time.perf_counter() + seconds
    times: list[list[float]] = [[] for _ in range(threads)]

    def client(mine: list[float]) -> None:
        while (began := time.perf_counter()) < end:
            record(events.next())
            mine.append(time.perf_counter() - began)

    clients = [threading.Thread(target=client, args=(mine,)) for mine in times]
    began, used = time.perf_counter(), time.process_time()
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    spent, used = time.perf_counter() - began, time.process_time() - used
    told = figures(sorted(itertools.chain.from_iterable(times)), spent)
    return told | {"cpu_us": used / (told["rate"] * spent) * 1e6}


def in_flight(engine: Engine, waiting: int, seconds: float, events: "Events") -> dict[str, float]:
    """Call `record_soon` from one thread with so many unanswered, as an event loop does."""
    room, times = threading.Semaphore(waiting), []
    began, used = time.perf_counter(), time.process_time()
    while (now := time.perf_counter()) < began + seconds:
        room.acquire()

        def done(result: object, since: float = now) -> None:
            if not isinstance(result, Receipt):
                raise SystemExit(f"an event was refused: {result}")
            times.append(time.perf_counter() - since)
            room.release()

        engine.record_soon([events.next()], done)
    for _ in range(waiting):
        room.acquire()
    spent, used = time.perf_counter() - began, time.process_time() - used
    return figures(sorted(times), spent) | {"cpu_us": used / len(times) * 1e6}


def raw(file: Path, group: int, seconds: float, events: "Events") -> dict[str, float]:
    """Append so many frames' bytes and sync, again and again."""
    text = b"".join(events.frame() for _ in range(group))
    handle = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    times = []
    began = time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        os.write(handle, text)
        os.fdatasync(handle)
        times.append(time.perf_counter() - now)
    spent = time.perf_counter() - began
    os.close(handle)
    told = figures(sorted(times), spent)
    return told | {"rate": told["rate"] * group}


def figures(times: list[float], seconds: float) -> dict[str, float]:
    """Rate and latency of one run."""
    n = len(times)
    return {"rate": n / seconds, "p50_ms": times[n // 2] * 1000, "p99_ms": times[n * 99 // 100] * 1000}


class Events:
    """Clicks of the users and items of an engine; each with an id of its own."""

    def __init__(self, users: list[str], items: list[str]) -> None:
        self.users, self.items = users, items
        self._number = itertools.count(time.time_ns() // 1_000_000 * 1_000)

    def next(self) -> Event:
        """Make one more."""
        k = next(self._number)
        user, item = self.users[k % len(self.users)], self.items[k * 7 % len(self.items)]
        return Event(user_id=user, item_id=item, type="click", event_id=f"bench-{k}")

    def frame(self) -> bytes:
        """Make one more as the journal gets it, without the 24 bytes before it."""
        e = self.next()
        now = time.time_ns() // 1_000
        return encode_frame(EventFrame(e.user_id, e.item_id, e.type, None, None, now, e.event_id)) + bytes(24)


def rates(engine: Engine, folder: Path, args: Any) -> dict[str, Any]:
    """Let the three take turns at each number of threads; medians."""
    items, _ = engine.items(limit=1000)
    names = [item.item_id for item in items] or [line.item_id for line in engine.popular(100)]
    events = Events(engine.users(), names)
    naive = Naive(folder / "naive.duckdb")
    found: dict[str, Any] = {}
    for threads in (1, 8, 32):
        told: dict[str, list[dict[str, float]]] = {"recengine": [], "duckdb": [], "raw": [], "soon": []}
        for _ in range(args.rounds):
            told["recengine"].append(closed_loop(engine.record, threads, args.seconds, events))
            told["soon"].append(in_flight(engine, threads, args.seconds, events))
            time.sleep(0.5)  # the engine's own database follows behind; its syncs must not hit the others
            told["duckdb"].append(closed_loop(naive.record, threads, args.seconds, events))
            told["raw"].append(raw(folder / "raw", threads, args.seconds, events))
        medians = {who: {k: statistics.median(run[k] for run in runs) for k in runs[0]} for who, runs in told.items()}
        for who, runs in told.items():
            medians[who]["best_rate"] = max(run["rate"] for run in runs)
        found[f"threads_{threads}"] = {w: {k: round(v, 3) for k, v in told.items()} for w, told in medians.items()} | {
            "to_duckdb": round(medians["recengine"]["rate"] / medians["duckdb"]["rate"], 2),
            "to_raw": round(medians["recengine"]["rate"] / medians["raw"]["rate"], 3),
        }
    naive.close()
    return found


def restart(folder: Path, *, total: int, tail: int, rounds: int) -> dict[str, Any]:
    """Fill the store, put a tail into its journal, and start processes on copies of it."""
    with Engine.open(folder) as engine:
        users = engine.users()
        names = [line.item_id for line in engine.popular(100)]
        events = Events(users, names)
        stored = engine.facts()["last event"] + 1
        while stored < total:
            step = min(50_000, total - stored)
            engine.record([events.next() for _ in range(step)])
            stored += step
    database, journal = open_store(folder, Storage())
    for _ in range(tail // 1000):
        journal.write([events.frame()[:-24] for _ in range(1000)])
    journal.close()
    database.close()
    told = []
    for turn in range(rounds):
        copy = folder.parent / f"copy{turn}"
        shutil.copytree(folder, copy)
        ask = [sys.executable, "-c", FIRST_ANSWER, str(copy), users[0], str(time.time())]
        out = subprocess.run(ask, capture_output=True, text=True, check=True)  # noqa: S603
        told.append(json.loads(out.stdout))
        shutil.rmtree(copy)
    return {"events": stored, "tail": tail} | {k: round(statistics.median(run[k] for run in told), 3) for k in told[0]}


def main() -> None:
    args = harness.arguments(__doc__, gowalla="", rounds=5, seconds=1.0)
    total, tail = 1_000_000, 100_000
    if args.small:
        args.rounds, args.seconds, total, tail = 1, 0.2, 10_000, 2_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "shop"
        keep = args.gowalla or str(folder)
        with shops.demo(str(folder), small=True) if args.small else shops.gowalla(keep) as engine:
            told, where = rates(engine, Path(name), args), engine.path
        if where != folder:
            shutil.copytree(where, folder)
        back = restart(folder, total=total, tail=tail, rounds=args.rounds)
    harness.report("journal", args, rates=told, restart=back)


if __name__ == "__main__":
    main()
