"""The database file: transactions, threads, locks and limits, with real files and processes."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from recengine.config import Storage
from recengine.errors import EngineFault, StoreFailed, StoreLocked
from recengine.store import directory
from recengine.store.cursor import Cursor
from recengine.store.database import FILE, Database
from recengine.store.writer import Writer
from tests.unit.stored import LIMITS, note, notes


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    directory.create(tmp_path / "shop")
    return tmp_path / "shop"


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
