"""The harness sees what it is there to see: planted losses, doubles, unsynced bytes and entries, failing calls."""

import random
import subprocess
import sys
from datetime import UTC, datetime

import duckdb
import pytest

from recengine import Engine
from tests.crash.power import power_cut
from tests.crash.shim import Shim
from tests.crash.verdict import examine


class Unlucky(random.Random):
    """Undoes every entry, and tears no file."""

    def choice(self, options):
        return options[1]

    def randint(self, a, b):
        return b

    def random(self):
        return 1.0


def run(shim, script):
    """Run a script in the watched folder; it ends without closing anything."""
    subprocess.run([sys.executable, "-c", f"import os\n{script}\nos._exit(0)"], cwd=shim.root, env=shim.environment, check=True)


@pytest.fixture
def shim(library, tmp_path):
    """Nothing is under `root` yet but a durable file, `old`."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "old").write_bytes(b"was here before")
    return Shim(library, root, tmp_path / "aside")


WRITTEN = "f = os.open('new', os.O_CREAT | os.O_WRONLY); os.write(f, b'synced'); os.fdatasync(f); os.write(f, b' and not')\n"
FLUSHED = "d = os.open('.', os.O_RDONLY); os.fsync(d)\n"


def test_bytes_past_the_last_sync_are_gone(shim):
    run(shim, WRITTEN + FLUSHED)
    assert (shim.root / "new").read_bytes() == b"synced and not"
    cut = power_cut(shim, Unlucky())
    assert (shim.root / "new").read_bytes() == b"synced"
    assert (cut.lost_bytes, cut.undone) == (8, 0)
    assert (shim.root / "old").read_bytes() == b"was here before"


def test_half_of_the_ends_are_torn(shim):
    run(shim, WRITTEN + FLUSHED)
    torn = 0
    for seed in range(40):
        (shim.root / "new").write_bytes(b"synced and not")
        torn += power_cut(shim, random.Random(seed)).torn
        assert (shim.root / "new").read_bytes().startswith(b"synced")
    assert 10 < torn < 30


def test_a_file_whose_folder_was_never_synced_is_gone(shim):
    run(shim, WRITTEN)
    assert power_cut(shim, Unlucky()).undone == 1
    assert not (shim.root / "new").exists()


def test_what_was_renamed_over_or_unlinked_comes_back(shim):
    run(shim, WRITTEN + FLUSHED + "os.rename('new', 'old')")
    power_cut(shim, Unlucky())
    assert (shim.root / "old").read_bytes() == b"was here before"
    assert (shim.root / "new").read_bytes() == b"synced"


def test_what_was_unlinked_comes_back(shim):
    run(shim, "os.unlink('old')")
    assert not (shim.root / "old").exists()
    power_cut(shim, Unlucky())
    assert (shim.root / "old").read_bytes() == b"was here before"


def test_a_synced_folder_keeps_its_changes(shim):
    run(shim, WRITTEN + "os.rename('new', 'old')\n" + FLUSHED)
    assert power_cut(shim, Unlucky()).undone == 0
    assert (shim.root / "old").read_bytes() == b"synced"


FAULTY = """
import errno, os, sys
from pathlib import Path
from tests.crash.shim import SHORT, SYNC, WRITE, Faults
faults = Faults(Path(sys.argv[1]))
os.chdir(sys.argv[2])
f = os.open('j', os.O_CREAT | os.O_WRONLY)
def code(call, *a):
    try: return call(*a)
    except OSError as err: return -err.errno
faults.arm(WRITE, 'j', 2, forever=False, error=errno.ENOSPC)
assert [code(os.write, f, b'four') for _ in range(3)] == [4, -errno.ENOSPC, 4]
assert faults.disarm() == 3
faults.arm(SYNC, 'j', 2, forever=True, error=errno.EIO)
assert [code(os.fdatasync, f) for _ in range(3)] == [None, -errno.EIO, -errno.EIO]
faults.arm(SHORT, 'j', 1, forever=False, error=0)
assert [code(os.write, f, b'four') for _ in range(2)] == [2, 4]
faults.arm(WRITE, 'another', 1, forever=True, error=errno.EIO)
assert code(os.write, f, b'four') == 4
"""


def test_the_chosen_call_fails_and_no_other(shim, library, pytestconfig):
    command = [sys.executable, "-c", FAULTY, str(library), str(shim.root)]
    subprocess.run(command, cwd=pytestconfig.rootpath, env=shim.environment, check=True)


def test_the_verdict_sees_a_lost_and_a_doubled_event(shop, ledger):
    events = ledger.new(3)
    with Engine.open(shop) as engine:
        engine.ingest(events=[event | {"order": datetime(2026, 1, 1, tzinfo=UTC)} for event in events[:2]])
    ledger.acknowledge(events[:2], 2, 0, again=False)
    assert examine(shop, ledger).clean
    with duckdb.connect(str(shop / "recengine.duckdb")) as con:
        con.execute("INSERT INTO event_ids SELECT * FROM event_ids WHERE event_id = ?", [events[0]["event_id"]])
    ledger.acknowledge(events[2:], 1, 0, again=False)
    verdict = examine(shop, ledger)
    lost = [events[2]["event_id"]]
    assert (verdict.lost, verdict.unfelt, verdict.twice) == (lost, lost, [events[0]["event_id"]])


def test_the_ledger_complains_of_receipts_that_do_not_fit(ledger):
    events = ledger.new(2)
    ledger.acknowledge(events, 1, 0, again=False)
    ledger.acknowledge(events, 2, 0, again=True)
    ledger.acknowledge(ledger.new(), 0, 1, again=False)
    assert len(ledger.complaints) == 3
