"""The database file: transactions, threads, locks, damage, newer schemas and a full disk, with real files and processes."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import duckdb
import pytest

from recengine.config import Storage
from recengine.errors import DirectoryInvalid, EngineFault, StoreCorrupt, StoreFailed, StoreLocked, StoreTooNew
from recengine.store import database as module
from recengine.store import directory
from recengine.store.cursor import Cursor
from recengine.store.database import FILE, Database
from recengine.store.queries import query
from recengine.store.sequence import count_ingest
from recengine.store.writer import Writer

LIMITS = Storage(threads=1)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    directory.create(tmp_path / "shop")
    return tmp_path / "shop"


def note(value: str):
    return lambda cursor: cursor.execute(query("store/insert_meta"), {"key": "note", "value": value})


def notes(database: Database) -> list[str]:
    return [value for (value,) in database.read().rows(query("store/read_meta"), {"key": "note"})]


def in_process(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_write_is_kept_and_read_back_after_reopening(shop):
    with Database.open(shop / FILE, LIMITS) as database:
        database.write(note("kept"))
        assert notes(database) == ["kept"]
    with Database.open(shop / FILE, LIMITS) as database:
        assert notes(database) == ["kept"]


def test_a_write_that_raises_is_rolled_back_and_raises_the_same(shop):
    def fails(cursor: Cursor) -> None:
        note("lost")(cursor)
        raise ZeroDivisionError("mine")

    with Database.open(shop / FILE, LIMITS) as database:
        with pytest.raises(ZeroDivisionError, match="mine"):
            database.write(fails)
        assert notes(database) == []


def test_committed_is_called_only_after_a_commit(shop):
    seen = []
    with Database.open(shop / FILE, LIMITS) as database:
        database.write(note("a"), committed=lambda: seen.append(notes(database)))
        with pytest.raises(EngineFault, match="query failed"):
            database.write(lambda c: c.execute("nonsense"), committed=lambda: seen.append("never"))
    assert seen == [["a"]]


def test_writes_of_many_threads_all_arrive_and_every_reader_has_its_own_cursor(shop):
    cursors = {}
    with Database.open(shop / FILE, LIMITS) as database:

        def work(k: int) -> None:
            cursors[k] = database.read()
            database.write(note(str(k)))
            for n in range(30):
                assert database.read().row("SELECT $n::INTEGER", {"n": n}) == (n,)

        threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(notes(database)) == [str(k) for k in range(8)]
    assert len(set(map(id, cursors.values()))) == 8


def test_a_write_inside_a_write_is_refused_and_does_not_hang(shop):
    with Database.open(shop / FILE, LIMITS) as database, pytest.raises(EngineFault, match="inside a write"):
        database.write(lambda _: database.write(note("x")))


@pytest.fixture
def interruptible():
    """Hear SIGINT even where the test run was started with it ignored, as in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_rolls_the_running_write_back_and_the_next_write_works(shop):
    def slow(cursor: Cursor) -> None:
        note("half")(cursor)
        cursor.rows("SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range % 7 = b.range % 11")

    with Database.open(shop / FILE, LIMITS) as database:
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            database.write(slow)
        assert notes(database) == []
        database.write(note("next"))
        assert notes(database) == ["next"]


def test_a_closed_database_says_so(shop):
    database = Database.open(shop / FILE, LIMITS)
    database.close()
    database.close()
    for use in (database.read, lambda: database.write(note("x"))):
        with pytest.raises(EngineFault, match="closed"):
            use()


def test_writes_that_race_with_the_close_are_done_or_refused_and_none_waits_for_ever(shop):
    database = Database.open(shop / FILE, LIMITS)
    refused: list[str] = []
    done: list[str] = []

    def work(k: int) -> None:
        for n in range(10_000):
            try:
                database.write(note(f"{k}-{n}"))
            except EngineFault as err:
                refused.append(str(err))
                return
            done.append(f"{k}-{n}")

    threads = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(4)]
    for thread in threads:
        thread.start()
    while len(done) < 8:
        time.sleep(0.001)
    database.close()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert len(refused) == 4
    assert all("closed" in text for text in refused)
    with Database.open(shop / FILE, LIMITS) as database:
        assert sorted(notes(database)) == sorted(done)


def test_a_call_behind_the_end_of_the_writer_is_refused():
    writer = Writer("test")
    answer = Future()
    writer.submit(answer, lambda: 7)
    assert answer.result(10) == 7
    writer.stop()
    writer.stop()
    with pytest.raises(EngineFault, match="closed"):
        writer.submit(Future(), lambda: 7)


def test_sql_reaches_nothing_outside_and_cannot_change_the_configuration(shop, tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with Database.open(shop / FILE, LIMITS) as database:
        cursor = database.read()
        for sql in (
            f"SELECT * FROM read_csv('{tmp_path / 'secret.csv'}')",
            f"COPY meta TO '{tmp_path / 'out.csv'}'",
            f"ATTACH '{tmp_path / 'other.duckdb'}'",
            "SET enable_external_access = true",
            "SET memory_limit = '1TB'",
            "INSTALL httpfs",
            "LOAD httpfs",
        ):
            with pytest.raises((EngineFault, StoreFailed)):
                cursor.execute(sql)
    assert not (tmp_path / "out.csv").exists()


def test_memory_and_threads_are_as_configured(shop):
    with Database.open(shop / FILE, Storage(memory_limit="123MiB", threads=1)) as database:
        row = database.read().row("SELECT current_setting('memory_limit'), current_setting('threads')")
    assert row == ("123.0 MiB", 1)


def test_a_second_open_in_the_same_process_is_refused_until_the_first_closes(shop):
    with Database.open(shop / FILE, LIMITS), pytest.raises(StoreLocked, match="this process"):
        Database.open(shop / ".." / "shop" / FILE, LIMITS)
    Database.open(shop / FILE, LIMITS).close()


def test_another_process_that_holds_the_database_is_named(shop):
    code = """
        import sys
        from pathlib import Path
        from recengine.store.database import Database
        Database.open(Path(sys.argv[1]))
        print("held", flush=True)
        sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(shop / FILE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreLocked, match="another process"):
            Database.open(shop / FILE, LIMITS)
        holder.communicate("")
    Database.open(shop / FILE, LIMITS).close()


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


def test_a_directory_is_made_once_and_recognised(tmp_path):
    directory.create(tmp_path / "new" / "shop")
    directory.check(tmp_path / "new" / "shop")
    with pytest.raises(DirectoryInvalid, match="already"):
        directory.create(tmp_path / "new" / "shop")
    with pytest.raises(DirectoryInvalid, match="not empty"):
        directory.create(tmp_path / "new")


def test_what_is_no_data_directory_is_refused_with_a_hint(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "foreign").mkdir()
    for name, what in (("absent", "does not exist"), ("file", "is a file"), ("foreign", f"has no {FILE}")):
        with pytest.raises(DirectoryInvalid, match=what) as caught:
            directory.check(tmp_path / name)
        assert "recengine init" in caught.value.hint
    with pytest.raises(DirectoryInvalid):
        directory.create(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_refused(shop):
    shop.chmod(0o500)
    try:
        with pytest.raises(DirectoryInvalid, match="not writable"):
            directory.check(shop)
    finally:
        shop.chmod(0o700)
