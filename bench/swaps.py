"""Swap deployments back and forth in a server under load: does any request fail, or mix two versions in one answer?

One Granian worker over the demo shop, as the server runs, and a thread in it that calls `Engine.promote`. Before, the
engine is asked, version by version, what each user gets; a reply is right if it is, but for its request id, one of
these, byte for byte.

    python -m bench.swaps FOLDER PORT SWAPS        the worker's side: swaps until done, then writes FOLDER.swapped
"""

import json
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np
import psutil

from bench import load, shops
from bench.worker import serve
from recengine import Engine, Event
from recengine.server.app import build
from recengine.server.door import Door
from tests.crash.server import free_port

USERS = 200
CONFIG = "".join(
    f'[[model]]\nkind = "{kind}"\ntime_budget_ms = 100000\n' for kind in ("als", "item_knn", "user_knn", "popularity")
)
"""The default models, with time enough that a busy machine makes no reply a degraded one."""
ID = len('{"request_id":"') + 32
"""Bytes of a reply that differ each time."""


def run(folder: Path, swaps: int, *, connections: int) -> dict[str, Any]:
    """Make the shop, swap so many times under load, and judge every reply."""
    folder.mkdir(parents=True)
    (folder / "recengine.toml").write_text(CONFIG)
    with shops.demo(str(folder), small=True) as engine:
        users = engine.users()[:USERS]
        right, versions = set(), []
        versions.append(engine.train(force=True).version)
        engine.record(bought(engine))  # so that the second one learned something else
        versions.append(engine.train(force=True).version)
        for version in versions:
            engine.promote(version)
            right |= {engine.reply(shops.request(user))[ID:].decode() for user in users}
    port, done = free_port(), folder.with_suffix(".swapped")
    ask = [sys.executable, "-m", "bench.swaps", str(folder), str(port), str(swaps), *versions]
    process = subprocess.Popen(ask)  # noqa: S603
    texts = [load.payload("GET", f"/v1/users/{quote(user, safe='')}/recommendations") for user in users]
    statuses: dict[str, int] = {}
    bodies: set[str] = set()
    began = time.monotonic()
    try:
        while not _up(port):
            if process.poll() is not None:
                raise SystemExit("the server did not start")
            time.sleep(0.1)
        worker = max(psutil.Process(process.pid).children(), key=lambda child: child.memory_info().rss)
        while not done.exists() and process.poll() is None:
            told = load.run(port, texts, server=worker.pid, connections=connections, seconds=1.0, keep=ID)
            bodies |= set(told["bodies"])
            for status, n in told["statuses"].items():
                statuses[status] = statuses.get(status, 0) + n
    finally:
        process.terminate()
        process.wait()
    answered = [msgspec.json.decode(f'{{"x":"{body}')["version"] for body in bodies & right]
    wrong = sorted(bodies - right)
    return {
        "swaps": json.loads(done.read_text()),
        "replies": sum(statuses.values()),
        "failed": sum(n for status, n in statuses.items() if status != "200"),
        "different_replies": len(bodies),
        "mixed_or_wrong": len(wrong),
        "example": wrong[0] if wrong else "",
        "versions_seen": len(set(answered)),
        "seconds": round(time.monotonic() - began, 1),
    }


def bought(engine: Engine, n: int = 2000) -> list[Event]:
    """Make up purchases."""
    rng = np.random.default_rng(0)
    users, items = engine.users(), [line.item_id for line in engine.popular(50)]
    pairs = zip(rng.choice(users, n).tolist(), rng.choice(items, n).tolist(), strict=True)
    return [Event(user_id=user, item_id=item, type="purchase") for user, item in pairs]


def _up(port: int) -> bool:
    try:
        load.Wire(port).socket.close()
    except OSError:
        return False
    return True


def served(folder: Path, swaps: int, versions: list[str]) -> Door:
    """Open the engine in the worker and start to swap."""
    engine = Engine.open(folder)

    def swap() -> None:
        time.sleep(0.5)
        for number in range(swaps):
            engine.promote(versions[number % len(versions)])
        folder.with_suffix(".swapped").write_text(json.dumps(swaps))

    threading.Thread(target=swap, daemon=True).start()
    return build(engine, close=True)


def main(folder: str, port: str, swaps: str, *versions: str) -> None:
    serve("swaps", int(port), partial(served, Path(folder), int(swaps), list(versions)))


if __name__ == "__main__":
    main(*sys.argv[1:])
