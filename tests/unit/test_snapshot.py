"""Snapshots and who makes them: one whole newest copy, and a journal that forgets only what two places hold."""

import shutil
import threading
import time

import msgspec
import pytest

from recengine.config import Storage
from recengine.errors import EngineFault, StoreCorrupt, StoreFailed
from recengine.hashes import digest
from recengine.store import directory, migrations
from recengine.store import snapshot as module
from recengine.store.backup import MANIFEST, backup, digests, restore
from recengine.store.database import FILE, Database
from recengine.store.homes import Forgotten
from recengine.store.recovery import open_store
from recengine.store.sequence import count_ingest, erase_owed, last_seq, owe_erase, set_last_seq
from recengine.store.snapshot import Keeper, newest, snapshot
from recengine.types.frames import EraseFrame, encode_frame
from tests.unit.journaled import STORAGE, Names, made, wal


@pytest.fixture
def shop(tmp_path):
    with made(tmp_path / "shop") as store:
        for n in range(20):
            store.say(f"name-{n}-{'x' * 1000}")
        yield store


def wait_for(what):
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def numbers(folder):
    return sorted(p.name for p in (folder / directory.SNAPSHOT).iterdir())


def test_the_newest_whole_snapshot_counts_and_only_one_is_kept(shop):
    assert newest(shop.folder) is None
    assert snapshot(shop.database, shop.folder).last_seq == 19
    shop.say("more")
    report = snapshot(shop.database, shop.folder)
    assert (report.last_seq, report.ingests, report.tables["user_ids"].rows) == (20, 0, 21)
    assert numbers(shop.folder) == ["00000001"]
    assert newest(shop.folder) == (shop.folder / directory.SNAPSHOT / "00000001", report)
    shutil.copytree(shop.folder / directory.SNAPSHOT / "00000001", shop.folder / directory.SNAPSHOT / "00000002")
    (shop.folder / directory.SNAPSHOT / "00000002" / FILE).write_bytes(b"half")
    assert newest(shop.folder)[0].name == "00000001"


def test_snapshots_that_are_asked_for_at_once_take_turns(shop):
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(snapshot(shop.database, shop.folder))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.last_seq for report in reports] == [19] * 4
    assert numbers(shop.folder) == ["00000003"]


def test_a_snapshot_that_cannot_be_made_leaves_the_older_one_and_the_frames(shop, monkeypatch):
    snapshot(shop.database, shop.folder)
    shop.say("more")
    keeper = Keeper(shop.database, shop.journal, STORAGE)

    def full(*_):
        raise OSError(28, "no space")

    with monkeypatch.context() as patch:
        patch.setattr("recengine.store.backup.flush", full)
        with pytest.raises(StoreFailed):
            keeper.keep()
    keeper.close()
    assert newest(shop.folder)[1].last_seq == 19
    assert numbers(shop.folder) == ["00000000"]
    assert shop.journal.oldest == -1


def test_frames_leave_the_journal_when_the_file_and_a_snapshot_hold_them(shop):
    keeper = Keeper(shop.database, shop.journal, STORAGE)
    for n in range(8):  # more than one segment
        shop.say(f"in the journal only {n} {'x' * 1000}", flush=False)
    held = shop.journal.held(-1)
    assert keeper.keep().last_seq == 19
    keeper.close()
    assert shop.journal.held(-1) < held / 1.5
    assert not wal(shop.folder).exists() or wal(shop.folder).stat().st_size == 0, "no frame is in the log alone"
    copy = shop.copied(shop.folder.with_name("copy"))
    (copy / FILE).write_bytes(b"")
    with Names(copy) as again:
        assert again.names() == sorted(shop.told)


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(module, "_FIRST", 0.01)
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    monkeypatch.setattr(module, "_PAUSE", 0.01)


def test_a_keeper_makes_one_when_there_is_none_when_the_journal_grew_and_after_an_ingest(shop, hasty):
    storage = Storage(segment_bytes=4096, snapshot_bytes=8192)
    keeper = Keeper(shop.database, shop.journal, storage)
    wait_for(lambda: newest(shop.folder))
    for n in range(20):
        shop.say(f"later-{n}-{'x' * 1000}")
    wait_for(lambda: newest(shop.folder)[1].last_seq > 25)
    wait_for(lambda: shop.journal.oldest > 0)
    shop.database.write(count_ingest)
    wait_for(lambda: newest(shop.folder)[1].ingests == 1)
    wait_for(lambda: len(numbers(shop.folder)) == 1)
    made = numbers(shop.folder)
    time.sleep(0.1)
    assert numbers(shop.folder) == made, "nothing new, nothing made"
    keeper.ask()
    wait_for(lambda: numbers(shop.folder) > made)
    keeper.close()
    keeper.close()


def test_a_snapshot_without_a_forgotten_user_is_tried_until_there_is_one(shop, hasty, monkeypatch):
    snapshot(shop.database, shop.folder)
    shop.say("later")
    keeper = Keeper(shop.database, shop.journal, STORAGE)
    copy_store, refusals = module.copy_store, []

    def refused(*_):
        refusals.append(1)
        raise StoreFailed("no room")

    monkeypatch.setattr(module, "copy_store", refused)
    shop.database.write(lambda cursor: owe_erase(cursor, shop.journal.last_seq))
    wait_for(lambda: len(refusals) > 3)
    monkeypatch.setattr(module, "copy_store", copy_store)
    wait_for(lambda: (found := newest(shop.folder)) and found[1].last_seq == shop.journal.last_seq)
    keeper.close()


def test_a_start_makes_the_snapshot_that_a_crash_after_forgetting_prevented(shop, hasty):
    snapshot(shop.database, shop.folder)
    shop.say("later")
    seq = shop.journal.write([encode_frame(EraseFrame("name", 0))])

    def forget(cursor):
        set_last_seq(cursor, seq)
        owe_erase(cursor, seq)

    shop.database.write(forget)
    keeper = Keeper(shop.database, shop.journal, STORAGE)
    wait_for(lambda: (found := newest(shop.folder)) and found[1].last_seq == seq)
    wait_for(lambda: erase_owed(shop.database.read()) is None)
    keeper.close()


def test_those_who_forget_at_once_share_the_snapshot_that_begins_after_them(shop, monkeypatch):
    copy_store, begun, on, made = module.copy_store, threading.Event(), threading.Event(), []

    def slow(*given):
        made.append(1)
        begun.set()
        assert on.wait(20)
        return copy_store(*given)

    monkeypatch.setattr(module, "copy_store", slow)
    keeper = Keeper(shop.database, shop.journal, STORAGE)
    threads = [threading.Thread(target=keeper.forget, args=(Forgotten(0, "name-0"),)) for _ in range(6)]
    threads[0].start()
    assert begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    wait_for(lambda: keeper._asked == 6)
    on.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert len(made) == 2
    keeper.close()


@pytest.mark.parametrize("error", [OSError(5, "input/output error"), EngineFault("unknown"), StoreFailed("no room")])
def test_a_keeper_outlives_what_goes_wrong_and_says_so(shop, hasty, monkeypatch, error):
    copy_store, failing = module.copy_store, [True]

    def refused(*given):
        if failing:
            raise error
        return copy_store(*given)

    monkeypatch.setattr(module, "copy_store", refused)
    keeper = Keeper(shop.database, shop.journal, STORAGE)
    wait_for(lambda: keeper.told.startswith("failed: "))
    with pytest.raises((StoreFailed, EngineFault)):
        keeper.forget(Forgotten(0, "name-0"))
    failing.clear()
    wait_for(lambda: keeper.told == "up to frame 19")
    keeper.forget(Forgotten(0, "name-0"))
    keeper.close()
    assert keeper.told == "stopped"


def test_a_keeper_that_is_closed_gives_up_what_it_makes(shop, hasty, monkeypatch):
    begun = threading.Event()
    copy_store = module.copy_store

    def slow(database, target):
        begun.set()
        database.read().rows("SELECT count(*) FROM range(100000) a, range(1000000) b WHERE a.range * b.range = 7")
        return copy_store(database, target)

    monkeypatch.setattr(module, "copy_store", slow)
    keeper = Keeper(shop.database, shop.journal, STORAGE)
    assert begun.wait(10)
    start = time.monotonic()
    keeper.close()
    assert time.monotonic() - start < 10
    assert newest(shop.folder) is None
    shop.say("on")


def test_damage_that_a_keeper_meets_is_looked_for_at_the_next_start(tmp_path, hasty):
    with made(tmp_path / "live") as store:
        store.say(*(f"name-{n}-{'x' * 100}" for n in range(500)))
        snapshot(store.database, store.folder)
        told = store.told
    path = tmp_path / "live" / FILE
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"name-77")] ^= 1
    path.write_bytes(raw)
    database, journal = open_store(tmp_path / "live", STORAGE)
    keeper = Keeper(database, journal, STORAGE)
    keeper.ask()
    wait_for((tmp_path / "live" / directory.SUSPECT).exists)
    keeper.close()
    journal.close()
    database.close()
    with Names(tmp_path / "live") as store:
        assert store.names() == sorted(told)


# ---------------------------------------------------------------------------------------------------- backups


def test_a_backup_of_a_closed_store_has_what_only_its_journal_holds(shop, tmp_path):
    shop.say("in the journal only", flush=False)
    shop.say("that too", flush=False)
    crashed = shop.copied(tmp_path / "crashed")
    report = backup(crashed, tmp_path / "saved")
    assert report.last_seq == 19
    restore(tmp_path / "saved", tmp_path / "again")
    for folder in (tmp_path / "again", crashed):
        with Names(folder) as store:
            assert store.names() == sorted(shop.told)


def test_a_store_restored_without_a_journal_begins_one_behind_its_last_frame(shop, tmp_path):
    backup(shop.database, tmp_path / "saved")
    restore(tmp_path / "saved", tmp_path / "again")
    assert not (tmp_path / "again" / directory.JOURNAL).exists()
    with Names(tmp_path / "again") as store:
        assert (store.journal.oldest, store.journal.last_seq) == (19, 19)
        assert store.journal.write([b"x"]) == 20


def test_a_backup_of_an_older_schema_is_restored_and_brought_up_to_date(tmp_path, monkeypatch):
    """Compared as it was saved, before any step of the schema runs."""
    saved = tmp_path / "saved"
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", migrations.STEPS[:1])
        patch.setattr(migrations, "SCHEMA", 1)
        directory.create(saved)
        with Database.open(saved / FILE) as database:
            database.write(lambda cursor: cursor.execute("INSERT INTO user_ids VALUES (0, 'old')"))
    with Database.open(saved / FILE, upgrading=False) as database:
        with pytest.raises(StoreCorrupt, match="0 rows for last_seq"):
            last_seq(database.read())
        tables = digests(database.read(), database.path.stem)
    old = {"format": 1, "created": "2026-01-01", "schema": 1, "files": {FILE: digest(saved / FILE)}, "tables": tables}
    (saved / MANIFEST).write_bytes(msgspec.json.encode(old))
    assert restore(saved, tmp_path / "again").ingests == 0
    with Names(tmp_path / "again") as store:
        assert store.names() == ["old"]
        assert last_seq(store.database.read()) == -1
