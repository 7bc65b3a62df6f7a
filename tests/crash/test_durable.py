"""Where a power cut could reach what is rarely looked at: a snapshot's own names, and what a killed process left unsynced."""

import subprocess
import sys

import pytest

from recengine.store import directory
from recengine.store.backup import MANIFEST
from recengine.store.database import FILE
from recengine.store.journal import Journal
from tests.crash.power import known, power_cut
from tests.crash.shim import Shim
from tests.crash.test_harness import Unlucky
from tests.unit.journaled import STORAGE, Names, made

HEAD = """
import os, sys
from pathlib import Path
from recengine.store.journal import Journal
from recengine.store.snapshot import Keeper
from tests.unit.journaled import STORAGE, Names, payload
folder = Path(sys.argv[1])
"""
KEPT = """
store = Names(folder)
store.say(*(f"name-{n}-{'x' * 200}" for n in range(40)))
store.journal.turn()
store.say("last")
Keeper(store.database, store.journal, STORAGE).keep()
"""
UNSYNCED = """
journal = Journal.open(folder / "journal", after=-1, storage=STORAGE)
journal.write([b"synced"])
os.fdatasync = lambda handle: None
journal.write([b"not synced"])
"""
ANSWERED = """
print(Journal.open(folder / "journal", after=-1, storage=STORAGE).last_seq)
"""


@pytest.fixture
def ran(library, tmp_path, pytestconfig):
    """`ran(script)`: run it over `tmp_path/shop` under the shim; it ends as if it were killed."""

    def run(script):
        shim = Shim(library, tmp_path / "shop", tmp_path / "aside")
        command = [sys.executable, "-c", f"{HEAD}{script}sys.stdout.flush()\nos._exit(0)", str(shim.root)]
        done = subprocess.run(
            command, cwd=pytestconfig.rootpath, env=shim.environment, check=True, capture_output=True, text=True
        )
        return shim, done.stdout

    return run


def test_what_a_snapshot_consists_of_is_on_the_disk_before_the_journal_forgets_it(ran, tmp_path):
    made(tmp_path / "shop").close()
    shim, _ = ran(KEPT)
    power_cut(shim, Unlucky())
    (tmp_path / "shop" / FILE).write_bytes(b"")
    with Names(tmp_path / "shop") as store:
        assert len(store.names()) == 41


def test_the_database_file_and_a_whole_snapshot_hold_what_the_journal_drops_when_it_drops_it(ran, tmp_path):
    """In the order of the log: the copy and its names, the name of the copy, the file of the database, and then the frames."""
    made(tmp_path / "shop").close()
    shim, _ = ran(KEPT)
    shop = shim.root
    snapshot = shop / directory.SNAPSHOT
    work = f"{snapshot}/.00000000.saving"
    lines = shim.lines()
    published = lines.index(["rename", "-", work, f"{snapshot}/00000000"])
    before, after = lines[:published], lines[published:]
    assert {line[-1] for line in before if line[0] == "dirsync"} >= {work, str(shop)}
    assert {line[-1] for line in before if line[0] == "sync"} >= {f"{work}/{MANIFEST}"}
    dropped = next(at for at, line in enumerate(after) if line[0] == "unlink" and line[-1].endswith(".seg"))
    between = after[:dropped]
    assert ["dirsync", str(snapshot)] in between
    assert any(line[0] == "sync" and line[-1] == str(shop / FILE) for line in between), "a checkpoint is behind it"


def test_frames_that_a_killed_process_left_unsynced_are_synced_before_they_count(ran, tmp_path):
    (tmp_path / "shop").mkdir()
    killed, _ = ran(UNSYNCED)
    sizes, _ = known(killed)
    shim, told = ran(ANSWERED)
    assert told == "1\n"
    shim.durable = sizes
    power_cut(shim, Unlucky())
    journal = Journal.open(tmp_path / "shop" / directory.JOURNAL, after=-1, storage=STORAGE)
    assert journal.last_seq == 1
    journal.close()
