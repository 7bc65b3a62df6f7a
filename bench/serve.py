"""What does recengine cost behind HTTP, beside a bare Litestar route and beside implicit's ALS behind the same server?

One Granian worker each, default event loop, one machine with the generator on it. Closed loop: `--connections` (16)
connections, each with one request in flight. Rivals take turns within each round; figures are medians over `--rounds`,
`best_rate` and `least_cpu_us` those of the round that was disturbed least.
API keys are checked by recengine and not by the bare routes.

bare_get     a body of ready bytes, as long as our reply
bare_struct  the same reply, encoded for each request
cached       GET /v1/users/{id}/recommendations, a kept reply
uncached     the same for users that were not asked before
implicit     `recommend(user, likes, N=10, filter_already_liked_items=True)`, as many factors, one thread
bare_post    one event decoded and validated, no more
event        POST /v1/events, one event, durable and felt

effect       a click on the first item of a user's answer, until the same user's next answer is another one
swaps        `Engine.promote` back and forth in the worker, under load: failures, and answers that mix two versions

Limit: what Granian and Litestar cost by themselves, `bare_get` and `bare_post`. Rates need a core for each of the two
processes; where the machine has other work, `server_cpu_us`, the worker's CPU time a request, is the steadier figure.

    python -m bench.serve --json
"""

import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import implicit
import numpy as np
import psutil
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from bench import harness, load, shops, swaps
from recengine import Engine
from recengine.server.keys import create
from tests.crash.server import Server, free_port

FACTORS = 64
"""As `[[model]] kind = "als"` has by default."""


def prepare_rivals(engine: Engine, user: str, folder: Path) -> None:
    """Write the body that bare routes return, and implicit's model of the same interactions."""
    (folder / "body.json").write_bytes(engine.reply(shops.request(user)))
    history = engine.interactions()
    engaged = np.maximum(history.weights, 0)
    likes = sp.csr_matrix((engaged, history.items, history.indptr), shape=(history.n_users, history.n_items))
    likes.eliminate_zeros()
    with threadpool_limits(1):  # implicit has threads of its own, and warns where BLAS has too
        model = implicit.als.AlternatingLeastSquares(factors=FACTORS, iterations=2, num_threads=2, random_state=0)
        model.fit(likes, show_progress=False)
    model.save(str(folder / "model.npz"))
    sp.save_npz(folder / "likes.npz", likes)


@contextlib.contextmanager
def rivals(folder: Path) -> Iterator[tuple[int, int]]:
    """Serve the rivals; yields their port and the process that answers."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.rivals", str(port), str(folder)])  # noqa: S603
    try:
        end = time.monotonic() + 60
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit("the rivals did not start")
            time.sleep(0.1)
        children = psutil.Process(process.pid).children()
        worker = max(children, key=lambda child: child.memory_info().rss)  # the other one tracks resources
        yield port, worker.pid
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    wire = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        wire.request("GET", "/bare")
        return wire.getresponse().status == 200
    except OSError:
        return False
    finally:
        wire.close()


def rates(
    users: list[str], items: list[str], server: Server, key: str, rival: tuple[int, int], args: Any
) -> dict[str, dict[str, float]]:
    """Measure all rivals in turns; returns the medians of each and what they are compared with."""
    ours = (server.port, server.worker().pid)
    ask = [load.payload("GET", f"/v1/users/{quote(user, safe='')}/recommendations", key=key) for user in users]
    share = len(ask) // args.rounds
    event = [
        {"user_id": user, "item_id": items[k % len(items)], "type": "click", "event_id": "bench-@@@@@@@@"}
        for k, user in enumerate(users[:1000])
    ]
    bodies = [json.dumps(one).encode() for one in event]
    peers = [load.payload("GET", f"/implicit/{row}") for row in range(len(users))]
    runs = {
        "bare_get": (rival, lambda _: [load.payload("GET", "/bare")]),
        "cached": (ours, lambda _: ask[:1]),
        "bare_struct": (rival, lambda _: [load.payload("GET", "/struct")]),
        "uncached": (ours, lambda turn: ask[turn * share : (turn + 1) * share]),
        "implicit": (rival, lambda _: peers),
        "bare_post": (rival, lambda _: [load.payload("POST", "/bare", body) for body in bodies]),
        "event": (ours, lambda _: [load.payload("POST", "/v1/events", body, key=key) for body in bodies]),
    }
    found: dict[str, list[dict]] = {name: [] for name in runs}
    for turn in range(args.rounds):
        for name, ((port, process), texts) in runs.items():
            given = texts(turn)
            told = load.run(port, given, server=process, connections=args.connections, seconds=args.seconds)
            bad = {status: n for status, n in told.pop("statuses").items() if not status.startswith("2")}
            if bad or (name == "uncached" and told["requests"] > len(given) and not args.small):
                raise SystemExit(f"{name}: {bad or 'too few users for so many seconds'}")
            found[name].append(told)
    return {name: summed(told) for name, told in found.items()}


def summed(told: list[dict[str, float]]) -> dict[str, float]:
    """Medians over the rounds, and the best of them."""
    medians = {k: statistics.median(run[k] for run in told) for k in told[0]}
    best = {"best_rate": max(run["rate"] for run in told), "least_cpu_us": min(run["server_cpu_us"] for run in told)}
    return {k: round(v, 3) for k, v in (medians | best).items()}


def compared(found: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Ratios of rates, and of the worker's CPU time a request; above 1 = ours is faster."""
    pairs = {
        "cached_to_bare_get": ("cached", "bare_get"),
        "cached_to_bare_struct": ("cached", "bare_struct"),
        "uncached_to_implicit": ("uncached", "implicit"),
        "event_to_bare_post": ("event", "bare_post"),
    }
    return {
        name: {
            "rate": round(found[ours]["rate"] / found[theirs]["rate"], 3),
            "best_rate": round(found[ours]["best_rate"] / found[theirs]["best_rate"], 3),
            "least_cpu": round(found[theirs]["least_cpu_us"] / found[ours]["least_cpu_us"], 3),
        }
        for name, (ours, theirs) in pairs.items()
    }


def effect(users: list[str], server: Server, key: str) -> dict[str, float]:
    """Click what stands first in each user's answer, and ask until the answer is another one."""
    wire = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    def told(method: str, path: str, body: str | None = None) -> list[dict]:
        wire.request(method, path, body, headers)
        reply = wire.getresponse()
        text = json.loads(reply.read())
        if reply.status >= 300:
            raise SystemExit(f"{method} {path}: {reply.status} {text}")
        return text.get("items", [])

    times, asked = [], []
    for user in users:
        path = f"/v1/users/{quote(user, safe='')}/recommendations"
        before = told("GET", path)
        click = {"user_id": user, "item_id": before[0]["item_id"], "type": "click"}
        body, began, count = json.dumps(click), time.perf_counter(), 1
        told("POST", "/v1/events", body)
        while told("GET", path) == before:
            count += 1
        times.append((time.perf_counter() - began) * 1000)
        asked.append(count)
    wire.close()
    p50, p99 = np.percentile(times, (50, 99)).round(2).tolist()
    return {"clicks": len(times), "p50_ms": p50, "p99_ms": p99, "answers_until_it_showed_at_most": max(asked)}


def main() -> None:
    args = harness.arguments(__doc__, gowalla="", connections=16, rounds=5, seconds=1.0, swaps=1000)
    if args.small:
        args.rounds, args.seconds, args.swaps, args.connections = 1, 0.3, 20, 4
    with tempfile.TemporaryDirectory() as name:
        aside = Path(name)
        with shops.demo(str(aside / "shop"), small=True) if args.small else shops.gowalla(
            args.gowalla or str(aside / "shop")
        ) as engine:
            users, folder = shops.some(engine.users(), len(engine.users())), engine.path
            items, _ = engine.items(limit=1000)
            n_items = engine.interactions().n_items
            prepare_rivals(engine, users[0], aside)
        key = create(folder, "bench")
        with Server(folder) as server, rivals(aside) as rival:
            server.start()
            found = rates(users, [item.item_id for item in items], server, key, rival, args)
            felt = effect(users[:20] if args.small else users[-1000:], server, key)
            server.stop()
        swapped = swaps.run(aside / "swaps", args.swaps, connections=args.connections)
    harness.report("serve", args, items=n_items, rates=found, ratios=compared(found), effect=felt, swaps=swapped)


if __name__ == "__main__":
    main()
