"""The n-th call fails, once or from then on: nothing is acknowledged that is not durable, and the engine works again."""

import errno
import json
import random
import shutil
import subprocess
import sys

import pytest

from recengine import Engine
from tests.crash.ledger import Ledger
from tests.crash.power import power_cut
from tests.crash.shim import SHORT, SYNC, WRITE, Shim
from tests.crash.verdict import examine

CALLS = [
    (WRITE, "/journal/", errno.ENOSPC),
    (SYNC, "/journal/", errno.EIO),
    (SHORT, "/journal/", 0),
    (WRITE, ".duckdb", errno.ENOSPC),
    (SYNC, ".duckdb", errno.EIO),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A data directory that knows some items; nothing is trained."""
    path = tmp_path_factory.mktemp("faults") / "shop"
    with Engine.open(path, create=True) as engine:
        engine.ingest(items=[{"item_id": f"i{k}"} for k in range(40)])
    return path


def test_a_call_that_fails_now_and_then_costs_no_acknowledged_event(store, tmp_path, library, figure):
    faulted(store, tmp_path, library, figure, numbers=(1, 4))


@pytest.mark.slow
def test_each_of_the_first_fifty_calls_may_fail(store, tmp_path, library, figure):
    faulted(store, tmp_path, library, figure, numbers=range(1, 51))


def faulted(store, folder, library, figure, *, numbers):
    """Run every fault of `numbers` x CALLS x once and for ever; pull the plug after each, and look what is left."""
    rounds = []
    for call, part, error in CALLS:
        for n in numbers:
            for forever in (False, True) if call != SHORT else (False,):
                name = folder / f"{len(rounds)}"
                shutil.copytree(store, name / "shop")
                plan = {"folder": str(name / "shop"), "aside": str(name / "aside"), "items": [f"i{k}" for k in range(40)], "events": max(30, n + 5)}
                plan["batch"] = 1 if part == ".duckdb" else 8
                rounds.append(plan | {"call": call, "part": part, "n": n, "forever": forever, "error": error})
    shims = [Shim(library, folder / f"{k}" / "shop", folder / f"{k}" / "aside") for k in range(len(rounds))]
    (folder / "rounds.json").write_text(json.dumps(rounds))
    loaded = {**shims[0].environment, "SHIM_ROOT": "", "SHIM_LOG": "/dev/null"}
    subprocess.run([sys.executable, "-m", "tests.crash.embedded", str(library), str(folder / "rounds.json")], env=loaded, check=True)
    rng = random.Random(0)
    reached, acknowledged = 0, 0
    for plan, shim in zip(rounds, shims, strict=True):
        told = json.loads((shim.aside / "told.json").read_text())
        assert "died" not in told, (plan, told)
        reached += told["seen"] >= plan["n"]
        power_cut(shim, rng)
        ledger = Ledger(plan["items"])
        ledger.sent = {event: tuple(pair) for event, pair in told["sent"].items()}
        ledger.acknowledged, ledger.complaints = set(told["acknowledged"]), told["complaints"]
        verdict = examine(shim.root, ledger)
        acknowledged += verdict.acknowledged
        assert verdict.clean, (plan, told["refused"], verdict)
        assert told["after"] == [], (plan, told)
        shutil.rmtree(shim.root.parent)
    figure(faults=len(rounds), reached=reached, acknowledged=acknowledged, lost=0, twice=0)
    assert reached > 0.8 * len(rounds)
