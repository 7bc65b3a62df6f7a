"""`kill -9` under load: no acknowledged event is lost, none counts twice, and the server always starts again."""

import os
import random
import time

import pytest

from tests.crash.clients import Clients
from tests.crash.power import power_cut
from tests.crash.server import Server
from tests.crash.shim import Shim
from tests.crash.verdict import examine

SMALL = """
[store]
segment_bytes = 4096
snapshot_bytes = 16384
"""
"""So that kills fall into new segments and snapshots too."""
WHOM = ("group", "group", "worker", "group", "parent")


def killed(shop, ledger, figure, *, kills, seed=None):
    """Kill a serving shop so many times under load; then everything must be there."""
    seed = seed if seed is not None else int.from_bytes(os.urandom(4))
    rng = random.Random(seed)
    starts = []
    tighten(shop)
    with Server(shop) as server:
        clients = Clients(ledger, server.port, seed=seed, mixed=True)
        for kill in range(kills):
            starts.append(server.start())
            clients.start()
            let_run(ledger, rng.uniform(0.05, 0.8), last=kill == kills - 1)
            server.kill(WHOM[kill % len(WHOM)])
            clients.stop()
        starts.append(server.start())
        server.stop()
    told(examine(shop, ledger), figure, ledger, kills=kills, starts=starts, seed=seed)


def let_run(ledger, seconds, *, last, patience=60.0):
    """Let the load run; the last time until every kind of it was acknowledged, however slow the machine is."""
    end = time.monotonic() + patience
    time.sleep(seconds)
    while last and not (ledger.forgotten and any(done for done, _ in ledger.put.values())) and time.monotonic() < end:
        time.sleep(0.05)


def tighten(shop):
    with (shop / "recengine.toml").open("a") as file:
        file.write(SMALL)


def told(verdict, figure, ledger, *, starts, **facts):
    figure(
        **facts,
        acknowledged=verdict.acknowledged,
        lost=len(verdict.lost),
        twice=len(verdict.twice),
        not_felt=len(verdict.unfelt),
        items_put=sum(done for done, _ in ledger.put.values()),
        forgotten=len(ledger.forgotten),
        seconds_to_ready_at_most=round(max(starts), 2),
    )
    assert verdict.acknowledged > 10 * len(starts), "the load was too light to tell anything"
    assert ledger.forgotten, "no snapshot was made"
    assert ledger.put, "no item was put"
    assert verdict.clean, (facts, verdict)


def cut(shop, ledger, figure, library, *, cuts, seed=None):
    """Pull the plug so many times under load; then everything must be there."""
    seed = seed if seed is not None else int.from_bytes(os.urandom(4))
    rng = random.Random(seed)
    starts, lost_bytes, torn, undone = [], 0, 0, 0
    tighten(shop)
    with Server(shop) as server:
        clients = Clients(ledger, server.port, seed=seed, mixed=True)
        for turn in range(cuts):
            shim = Shim(library, shop, shop.parent / "shim")
            server.environment = shim.environment
            starts.append(server.start())
            clients.start()
            let_run(ledger, rng.uniform(0.1, 1.0), last=turn == cuts - 1)
            server.kill()
            clients.stop()
            left = power_cut(shim, rng)
            lost_bytes, torn, undone = lost_bytes + left.lost_bytes, torn + left.torn, undone + left.undone
        starts.append(server.start())
        server.stop()
    told(examine(shop, ledger), figure, ledger, power_cuts=cuts, bytes_cut=lost_bytes, torn_files=torn, entries_undone=undone, starts=starts, seed=seed)


def test_ten_kills_lose_nothing(shop, ledger, figure):
    killed(shop, ledger, figure, kills=10, seed=1)


def test_five_power_cuts_lose_nothing(shop, ledger, figure, library):
    cut(shop, ledger, figure, library, cuts=5, seed=1)


@pytest.mark.slow
def test_a_hundred_kills_lose_nothing(shop, ledger, figure):
    killed(shop, ledger, figure, kills=100)


@pytest.mark.slow
def test_twenty_power_cuts_lose_nothing(shop, ledger, figure, library):
    cut(shop, ledger, figure, library, cuts=20)
