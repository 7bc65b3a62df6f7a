"""The database file after a kill, with damage, of another kind or version, and on a full disk."""

import shutil
from pathlib import Path

import duckdb
import pytest

from recengine.errors import DirectoryInvalid, StoreCorrupt, StoreTooNew
from recengine.store import database as module
from recengine.store import directory
from recengine.store.database import FILE, Database
from recengine.store.queries import query
from recengine.store.sequence import count_ingest
from tests.unit.stored import LIMITS, in_process, note, notes


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    directory.create(tmp_path / "shop")
    return tmp_path / "shop"


def test_a_killed_process_loses_nothing_that_was_committed(shop):
    code = """
        import os, sys
        from pathlib import Path
        from recengine.store.database import Database
        from recengine.store.queries import query
        database = Database.open(Path(sys.argv[1]))
        database.write(lambda c: c.execute(query("store/insert_meta"), {"key": "note", "value": "durable"}))
        os.kill(os.getpid(), 9)
    """
    assert in_process(code, shop / FILE).returncode == -9
    with Database.open(shop / FILE, LIMITS) as database:
        assert notes(database) == ["durable"]


def test_what_a_killed_process_left_and_each_new_log_are_forced_to_the_disk(shop, monkeypatch, tmp_path):
    """A log made after a checkpoint has the inode of the one before: it is a new name all the same."""
    forced = []
    monkeypatch.setattr(module, "flush", lambda path: forced.append(path.name))
    with Database.open(shop / FILE) as database:
        assert forced == [FILE, shop.name]
        for _ in range(2):
            forced.clear()
            database.write(count_ingest)
            database.write(count_ingest)
            assert forced == [shop.name]
            database.checkpoint()
        database.write(count_ingest)
        shutil.copytree(shop, tmp_path / "copy")
    forced.clear()
    with Database.open(tmp_path / "copy" / FILE):
        assert forced[:3] == [FILE, f"{FILE}.wal", "copy"]


@pytest.mark.parametrize("content", [b"", b"garbage " * 1000, b"\0" * 8 + b"DUCK" + b"\0" * 4084])
def test_garbage_is_called_corrupt(shop, content):
    (shop / FILE).write_bytes(content)
    with pytest.raises(StoreCorrupt, match="restore"):
        Database.open(shop / FILE, LIMITS)


def test_a_damaged_block_is_called_corrupt(shop):
    with Database.open(shop / FILE, LIMITS) as database:
        database.write(note("x" * 100_000))
    raw = bytearray((shop / FILE).read_bytes())
    for start in range(3 * 4096 + 100, len(raw), 4096):
        raw[start : start + 64] = bytes(64 * [255])
    (shop / FILE).write_bytes(raw)
    with pytest.raises(StoreCorrupt):
        Database.open(shop / FILE, LIMITS)


def test_a_database_of_something_else_is_called_foreign(shop):
    (shop / FILE).unlink()
    with duckdb.connect(str(shop / FILE)) as other:
        other.execute("CREATE TABLE invoices (a INTEGER)")
    with pytest.raises(StoreCorrupt, match="invoices"):
        Database.open(shop / FILE, LIMITS)


def test_a_newer_schema_is_refused_and_left_as_it_is(shop):
    newer = {"key": "schema", "value": "999"}
    with Database.open(shop / FILE, LIMITS) as database:
        database.write(lambda c: c.execute(query("store/update_meta"), newer))
    for _ in range(2):
        with pytest.raises(StoreTooNew, match="999"):
            Database.open(shop / FILE, LIMITS)


def test_a_missing_database_is_not_made_by_accident(tmp_path):
    with pytest.raises(DirectoryInvalid, match="recengine init"):
        Database.open(tmp_path / FILE, LIMITS)
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
    import resource, signal, sys
    from pathlib import Path
    import numpy as np, pyarrow as pa
    from recengine.config import Storage
    from recengine.errors import StoreFailed
    from recengine.store.database import Database
    from recengine.store.queries import query
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    database = Database.open(Path(sys.argv[1]), Storage(threads=1))
    def fill(cursor):
        text = pa.array(np.random.default_rng(0).bytes(100).hex() + str(k) for k in range(50_000))
        frame = pa.table({"row": np.arange(50_000, dtype=np.int32), "id": text})
        with cursor.registered("new_ids", frame):
            cursor.execute(query("store/append_user_ids"))
    note = lambda text: lambda c: c.execute(query("store/insert_meta"), {"key": "note", "value": text})
    database.write(note("before"))
    size = Path(sys.argv[1]).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100_000, resource.RLIM_INFINITY))
    try:
        for _ in range(20):
            database.write(fill)
        print("never failed")
    except StoreFailed as err:
        print("failed:", err.code)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(database.read().rows(query("store/read_meta"), {"key": "note"}))
    database.write(note("after"))
    print(len(database.read().rows(query("store/read_meta"), {"key": "note"})))
    database.close()
"""


def test_a_full_disk_is_one_clear_error_and_the_database_works_again_when_there_is_room(shop):
    done = in_process(FULL_DISK, shop / FILE)
    assert done.stdout.splitlines() == ["failed: store-failed", "[('before',)]", "2"], done.stderr
    with Database.open(shop / FILE, LIMITS) as database:
        assert notes(database) == ["before", "after"]
