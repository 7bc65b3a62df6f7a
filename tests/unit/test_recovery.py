"""The start after damage: everything that was acknowledged is there, or the start is refused and says what is missing."""

import os
import random
import shutil

import pytest

from recengine.config import Storage
from recengine.errors import StoreCorrupt, StoreFailed
from recengine.store import directory
from recengine.store.database import FILE
from recengine.store.recovery import open_store
from recengine.store.sequence import count_ingest, ingests, ingests_marked, last_seq
from recengine.store.snapshot import newest, snapshot
from recengine.types.frames import IngestFrame, encode_frame
from tests.unit.journaled import STORAGE, Names, content, made, wal

EVERY = [f"name-{n:03d}-{'x' * 40}" for n in range(160)]


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """A store as a crash left it: 40 names in a snapshot, 60 in the last checkpoint, 120 in the log, 160 in the journal."""
    folder = tmp_path_factory.mktemp("crashed")
    with made(folder / "live") as store:
        for n in range(0, 160, 4):
            store.say(*EVERY[n : n + 4], flush=n < 120)
            if n == 36:
                snapshot(store.database, store.folder)
            if n == 56:
                store.database.checkpoint()
        yield store.copied(folder / "shop")


@pytest.fixture
def shop(crashed, tmp_path):
    return shutil.copytree(crashed, tmp_path / "shop")


def some(few, all_of_them):
    """A few seeds in every run, the others in the slow one."""
    return [*range(few), *(pytest.param(n, marks=pytest.mark.slow) for n in range(few, all_of_them))]


def damaged(path, *, flips=0, size=None, seed=0):
    raw = bytearray(path.read_bytes())
    choose = random.Random(seed)
    for _ in range(flips):
        bit = choose.randrange(len(raw) * 8)
        raw[bit // 8] ^= 1 << bit % 8
    path.write_bytes(raw if size is None else raw[: int(size * len(raw))])


def passed_over(folder):
    return sorted(p.name.partition(".damaged")[0] for p in folder.glob("*.damaged-*"))


def all_there(folder, **how):
    """Open, and read every row; then once more, as the next start would."""
    with Names(folder, **how) as store:
        assert store.names() == EVERY
    with Names(folder) as store:
        assert store.names() == EVERY
        assert last_seq(store.database.read()) == store.journal.last_seq == 159
        assert store.journal.write([b"next"]) == 160


def test_a_crash_loses_nothing(shop):
    with Names(shop) as store:
        assert store.journal.oldest == -1
    all_there(shop)
    assert passed_over(shop) == []


@pytest.mark.parametrize("seed", some(6, 40))
def test_a_log_that_was_cut_anywhere_is_made_good_from_the_journal(shop, seed):
    damaged(wal(shop), size=random.Random(seed).random())
    all_there(shop)


@pytest.mark.parametrize("seed", some(8, 60))
def test_a_flipped_bit_in_the_log_is_made_good_from_the_journal(shop, seed):
    damaged(wal(shop), flips=1, seed=seed)
    all_there(shop)
    assert passed_over(shop) in ([], [f"{FILE}.wal"])


def test_a_log_that_is_gone_is_made_good_from_the_journal(shop):
    wal(shop).unlink()
    all_there(shop)


def healed(folder):
    """At once where the start meets the damage; whoever meets it later opens with `suspect`."""
    try:
        all_there(folder)
    except StoreCorrupt:
        all_there(folder, suspect=True)


@pytest.mark.parametrize("seed", some(8, 60))
def test_a_flipped_bit_in_the_database_is_healed_from_the_snapshot(shop, seed):
    damaged(shop / FILE, flips=1, seed=seed)
    healed(shop)


@pytest.mark.parametrize("how", [{"size": 0.0}, {"size": 0.3}, {"size": 0.99}, {"flips": 500}])
def test_a_database_that_is_cut_or_full_of_errors_is_healed_from_the_snapshot(shop, how):
    damaged(shop / FILE, **how)
    healed(shop)


def test_a_foreign_database_is_set_aside(shop):
    (shop / FILE).write_bytes(b"something else " * 1000)
    all_there(shop)
    (kept,) = shop.glob(f"{FILE}.damaged-*")
    assert kept.read_bytes().startswith(b"something else")


def test_damage_that_was_met_while_running_is_looked_for_at_the_next_start(shop):
    wal(shop).unlink()
    raw = bytearray((shop / FILE).read_bytes())
    at = raw.rindex(b"name-05")
    raw[at] ^= 1
    (shop / FILE).write_bytes(raw)
    (shop / directory.SUSPECT).touch()
    all_there(shop)
    assert passed_over(shop) == [FILE]
    assert not (shop / directory.SUSPECT).exists()


@pytest.mark.parametrize("snapshot_too", [False, True])
def test_without_a_whole_snapshot_the_start_is_refused_and_changes_nothing(shop, snapshot_too):
    damaged(shop / FILE, flips=300)
    if snapshot_too:
        damaged(newest(shop)[0] / FILE, flips=1)
    else:
        shutil.rmtree(shop / directory.SNAPSHOT)
    before = content(shop)
    with pytest.raises(StoreCorrupt, match="recengine restore"):
        open_store(shop, STORAGE)
    assert content(shop) == before


def test_frames_that_no_one_has_any_more_are_named_by_number(shop):
    """The log is gone, and so is the part of the journal that followed the checkpoint; the snapshot is older still."""
    wal(shop).unlink()
    segments = sorted((shop / directory.JOURNAL).glob("*.seg"))
    gone = [p for p in segments if int(p.stem) < 110]
    for path in gone:
        path.unlink()
    before = content(shop)
    with pytest.raises(StoreCorrupt, match=r"begins after frame \d+, and the database ends at frame 59"):
        open_store(shop, STORAGE)
    assert content(shop) == before


def test_a_damaged_journal_refuses_only_where_the_database_lacks_what_is_damaged(shop):
    segments = sorted((shop / directory.JOURNAL).glob("*.seg"))
    damaged(segments[0], flips=3)
    with Names(shop) as store:
        assert store.names() == EVERY
    shutil.rmtree(shop)


def test_damaged_frames_that_the_database_lacks_refuse_the_start(shop):
    (segment,) = [p for p in (shop / directory.JOURNAL).glob("*.seg") if b"name-130" in p.read_bytes()]
    raw = bytearray(segment.read_bytes())
    raw[raw.index(b"name-130")] ^= 1
    segment.write_bytes(raw)
    with pytest.raises(StoreCorrupt, match=rf"{segment.name}: damaged at byte \d+: the acknowledged frames 130 to 130"):
        open_store(shop, STORAGE)
    assert wal(shop).exists() or (shop / FILE).exists()


# ---------------------------------------------------------------------------------------------------- ingests


def ingest(store, *, noted=True, kept=False):
    """What an ingest leaves: a row that no frame brings, the count, the frame."""

    def write(cursor):
        cursor.execute("INSERT INTO item_ids VALUES (0, 'ingested')")
        return count_ingest(cursor)

    number = store.database.write(write)
    if noted:
        store.journal.write([encode_frame(IngestFrame(number))])
    if kept:
        snapshot(store.database, store.folder)


def items(store):
    return store.database.read().rows("SELECT id FROM item_ids")


@pytest.mark.parametrize("kept", [False, True])
def test_an_ingest_that_the_log_lost_is_in_the_snapshot_or_refuses_the_start(tmp_path, kept):
    with made(tmp_path / "live") as store:
        store.say("a")
        store.database.checkpoint()
        ingest(store, kept=kept)
        store.say("b", flush=False)
        store.copied(tmp_path / "shop")
    damaged(wal(tmp_path / "shop"), size=0.5)
    if kept:
        with Names(tmp_path / "shop") as store:
            assert items(store) == [("ingested",)]
            assert store.names() == ["a", "b"]
        assert FILE in passed_over(tmp_path / "shop")
    else:
        with pytest.raises(StoreCorrupt, match="holds 0 ingests .* ingest 1 is in no copy"):
            open_store(tmp_path / "shop", STORAGE)


def test_a_snapshot_from_before_an_ingest_is_no_cure(tmp_path):
    with made(tmp_path / "live") as store:
        store.say("a")
        snapshot(store.database, store.folder)
        ingest(store)
        store.say("b")
        store.database.checkpoint()
        store.copied(tmp_path / "shop")
    with Names(tmp_path / "shop") as store:
        assert items(store) == [("ingested",)]
    damaged(tmp_path / "shop" / FILE, flips=300)
    before = content(tmp_path / "shop")
    with pytest.raises(StoreCorrupt, match="the snapshot does not serve: .* ingest 1 is in no copy"):
        open_store(tmp_path / "shop", STORAGE)
    assert content(tmp_path / "shop") == before


def test_an_ingest_whose_frame_a_crash_prevented_is_noted_at_the_next_start(tmp_path):
    with made(tmp_path / "shop") as store:
        ingest(store, noted=False)
    for _ in range(3):
        with Names(tmp_path / "shop") as store:
            assert store.journal.last_seq == 0
            assert ingests_marked(store.database.read()) == ingests(store.database.read()) == 1


def test_a_full_disk_at_the_start_only_postpones_that_note(tmp_path, monkeypatch):
    with made(tmp_path / "shop") as store:
        ingest(store, noted=False)

    def refuse(self, frames):
        raise StoreFailed("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("recengine.store.journal.Journal.write", refuse)
        database, journal = open_store(tmp_path / "shop", STORAGE)
        journal.close()
        database.close()
    with Names(tmp_path / "shop") as store:
        assert store.journal.last_seq == 0


def test_a_disk_that_refuses_while_healing_leaves_everything_as_it_was(shop, monkeypatch):
    damaged(shop / FILE, flips=300)
    before = content(shop)

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("recengine.store.recovery.copy", full)
    with pytest.raises(StoreFailed, match="cannot be healed: No space left"):
        open_store(shop, STORAGE)
    assert content(shop) == before


def test_the_journal_of_another_store_is_refused(shop, tmp_path):
    made(tmp_path / "other").close()
    shutil.rmtree(tmp_path / "other" / directory.JOURNAL)
    shutil.copytree(shop / directory.JOURNAL, tmp_path / "other" / directory.JOURNAL)
    with pytest.raises(StoreCorrupt, match="of another store"):
        open_store(tmp_path / "other", Storage())
