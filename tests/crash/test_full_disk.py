"""A full disk: no acknowledgement and an honest 503, and work goes on by itself when there is room again."""

import contextlib
import json
import os
import shutil
import subprocess
import time

import psutil
import pytest

from tests.crash.clients import Clients
from tests.crash.server import Server
from tests.crash.verdict import examine


@contextlib.contextmanager
def small_disk(folder):
    """A file system of 48 MB, where this process may mount one; yields its folder, or None."""
    folder.mkdir()
    made = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], capture_output=True, check=False).returncode == 0
    try:
        yield folder if made else None
    finally:
        if made:
            subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def place(shop, tmp_path):
    """(the shop, fill, free): a shop on a disk that can be filled; elsewhere the process may no longer make files grow."""
    with small_disk(tmp_path / "disk") as disk:
        if disk is None:
            yield shop, _no_growth, _growth
            return
        moved = shutil.copytree(shop, disk / "shop")
        ballast = disk / "ballast"

        def fill(_):
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(1 << 12))

        yield moved, fill, lambda _: ballast.unlink()


def _no_growth(server):
    server.worker().rlimit(psutil.RLIMIT_FSIZE, (1, psutil.RLIM_INFINITY))


def _growth(server):
    server.worker().rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))


def test_a_full_disk_is_said_and_nothing_acknowledged_is_lost(place, ledger, figure):
    shop, fill, free = place
    with Server(shop) as server:
        server.start()
        clients = Clients(ledger, server.port)
        clients.start()
        time.sleep(0.5)
        fill(server)
        until(lambda: clients.refused > 20, seconds=60)
        clients.stop()
        event = ledger.new()[0]
        status, text = server.post("/v1/events", json.dumps(event).encode())
        problem = json.loads(text)
        assert (status, problem["status"]) == (503, 503)
        assert problem["title"]
        assert server.get("/health/live")[0] == 200
        free(server)
        began = time.monotonic()
        until(lambda: server.post("/v1/events", json.dumps(ledger.new()[0]).encode())[0] in (200, 201), seconds=10)
        recovery = time.monotonic() - began
        clients.until(50)
        assert server.stop() == 0
    verdict = examine(shop, ledger)
    figure(refused=clients.refused, acknowledged=verdict.acknowledged, lost=len(verdict.lost), seconds_to_recover=round(recovery, 2))
    assert verdict.clean, verdict


def until(holds, *, seconds):
    """Wait for `holds()`, at most so long."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)
