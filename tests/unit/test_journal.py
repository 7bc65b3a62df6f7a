"""The journal on a sound and on a failing disk: what `write` returned from is there again, and nothing else is promised."""

import errno
import os
import resource
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.config import Storage
from recengine.errors import EngineFault, StoreCorrupt, StoreFailed
from recengine.store.journal import Journal
from recengine.store.segments import FRAME, HEADER

SMALL = Storage(segment_bytes=1024, reserve_bytes=0)


def opened(folder, *, after=-1, storage=SMALL, **more):
    return Journal.open(folder, after=after, storage=storage, **more)


def frames(journal, after=-1):
    """Everything after `after` as {seq: payload}."""
    return {first + i: p for first, payloads in journal.read(after) for i, p in enumerate(payloads)}


def segments(folder):
    return sorted(folder.glob("*.seg"))


@given(
    st.lists(st.one_of(st.lists(st.binary(max_size=400), max_size=6), st.sampled_from(["reopen", "trim"])), max_size=12)
)
def test_what_is_written_is_read_again_over_restarts_rotation_and_trims(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("j") / "journal"
    journal, expected, trimmed = opened(folder), {}, -1
    for step in steps:
        if step == "reopen":
            journal.close()
            journal = opened(folder, after=trimmed)
        elif step == "trim":
            trimmed = journal.last_seq // 2
            journal.trim(trimmed)
        else:
            first = journal.write(step)
            assert first == len(expected)
            expected |= {first + i: p for i, p in enumerate(step)}
        assert journal.last_seq == len(expected) - 1
        assert frames(journal, trimmed) == {s: p for s, p in expected.items() if s > trimmed}
    journal.close()


def test_a_fresh_journal_begins_after_what_the_database_holds(tmp_path):
    journal = opened(tmp_path / "a" / "journal", after=41)
    assert (journal.last_seq, journal.oldest, frames(journal, 41)) == (41, 41, {})
    assert journal.write([b"x", b"y"]) == 42
    journal.close()
    journal.close()
    again = opened(tmp_path / "a" / "journal", after=42)
    assert frames(again, 42) == {43: b"y"}
    with pytest.raises(StoreCorrupt, match="holds those after 41"):
        list(again.read(40))


def test_segments_rotate_by_size_and_by_age(tmp_path, monkeypatch):
    journal = opened(tmp_path)
    for _ in range(4):
        journal.write([bytes(500)])
    assert [int(p.stem) for p in segments(tmp_path)] == [0, 1, 2, 3]
    journal.write([bytes(5000)])  # larger than a segment: it gets one of its own
    journal.write([b""])
    assert len(segments(tmp_path)) == 6
    monkeypatch.setattr("time.monotonic", lambda: 1e9)
    journal.write([b""])
    assert len(segments(tmp_path)) == 7
    assert list(frames(journal)) == list(range(7))


def test_only_whole_segments_that_are_done_are_dropped(tmp_path):
    journal = opened(tmp_path)
    for _ in range(4):
        journal.write([bytes(400), bytes(400)])
    held = journal.held(-1)
    journal.trim(2)
    assert [int(p.stem) for p in segments(tmp_path)] == [2, 4, 6]
    assert journal.held(-1) < held
    assert journal.held(7) == 0
    journal.trim(99)
    assert [int(p.stem) for p in segments(tmp_path)] == [6], "the open one stays"
    assert frames(journal, journal.oldest).keys() == {6, 7}
    with pytest.raises(StoreCorrupt, match="holds those after 5"):
        list(journal.read(4))
    journal.close()
    with pytest.raises(StoreCorrupt, match="begins after frame 5, and the database ends at frame 3"):
        opened(tmp_path, after=3)
    assert opened(tmp_path, after=5).last_seq == 7


def test_a_segment_that_is_given_up_can_be_dropped_once_there_is_a_next(tmp_path):
    journal = opened(tmp_path)
    journal.turn()  # before the first there is nothing to give up
    journal.write([b"secret"])
    journal.turn()
    journal.trim(0)
    assert len(segments(tmp_path)) == 1, "the open one stays"
    journal.write([b"next"])
    journal.trim(0)
    journal.write([b"more"])
    assert [int(p.stem) for p in segments(tmp_path)] == [1]
    assert frames(journal, 0) == {1: b"next", 2: b"more"}


def test_a_journal_of_another_store_is_refused(tmp_path):
    opened(tmp_path, store=b"a" * 16).write([b"x"])
    with pytest.raises(StoreCorrupt, match="another store"):
        opened(tmp_path, store=b"b" * 16)


def test_every_name_that_matters_is_forced_to_the_disk(tmp_path, monkeypatch):
    """The folder's own name, each segment's, and that a segment is gone."""
    forced, fsync = [], os.fsync

    def noted(handle):
        forced.append(os.path.relpath(Path(f"/proc/self/fd/{handle}").readlink(), tmp_path))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    journal = opened(tmp_path / "journal")
    assert forced == ["."]
    journal.write([b"x"])
    assert forced[1:] == ["journal/00000000000000000000.new", "journal"]
    journal.turn()
    journal.write([b"y"])
    assert forced[3:] == ["journal/00000000000000000001.new", "journal"]
    journal.trim(0)
    assert forced[5:] == ["journal"]


def test_a_folder_that_cannot_be_made_is_refused_by_name(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed, match="journal: the disk refused"):
        opened(tmp_path / "file" / "journal")


def test_a_frame_beyond_all_bounds_is_our_fault(tmp_path, monkeypatch):
    monkeypatch.setattr("recengine.store.journal._LARGEST", 10)
    with pytest.raises(EngineFault, match="11 bytes"):
        opened(tmp_path).write([bytes(11)])


# -------------------------------------------------------------------------------------------- a disk that fails


def failing(call, *, at, times=1, error=errno.EIO, failed=None):
    """`call`, which fails from its `at`-th use on, `times` times; each failure is noted in the list `failed`."""
    uses = iter(range(1 << 30))

    def tried(*args):
        use = next(uses)
        if at <= use < at + times:
            if failed is not None:
                failed.append(use)
            raise OSError(error, os.strerror(error))
        return call(*args)

    return tried


@pytest.mark.parametrize("name", ["fdatasync", "pwrite", "fsync", "open", "ftruncate+pwrite", "rename"])
@pytest.mark.parametrize("times", [1, 3, 1000])
@pytest.mark.parametrize("at", [0, 1, 2, 3, 5, 8])
def test_a_call_that_fails_takes_back_its_group_and_nothing_else(tmp_path, monkeypatch, name, times, at):
    """Whatever fails, once or for good: what was acknowledged is there, what was refused is not."""
    journal, acknowledged, refused, failed = opened(tmp_path), {}, 0, []
    with monkeypatch.context() as patch:
        for part in name.split("+"):
            patch.setattr(os, part, failing(getattr(os, part), at=at, times=times, failed=failed))
        for n in range(12):
            group = [f"{n}.{k}".encode() * 40 for k in range(3)]
            try:
                first = journal.write(group)
            except StoreFailed:
                refused += 1
            else:
                acknowledged |= {first + i: p for i, p in enumerate(group)}
    assert (refused > 0) == bool(failed)
    assert len(acknowledged) == 3 * (12 - refused)
    assert frames(journal) == acknowledged
    first = journal.write([b"after"])
    assert first > max(acknowledged, default=-1)
    acknowledged[first] = b"after"
    assert frames(journal) == acknowledged
    journal.close()
    again = opened(tmp_path)
    assert frames(again) == acknowledged
    assert again.last_seq == first
    assert again.cut == 0


def test_numbers_of_a_failed_sync_are_skipped_and_its_descriptor_is_never_used_again(tmp_path, monkeypatch):
    journal = opened(tmp_path, storage=Storage(reserve_bytes=0))
    journal.write([b"a", b"b"])
    synced = []
    sync = os.fdatasync

    def once(handle):
        synced.append(os.fstat(handle).st_ino)
        if len(synced) == 1:
            raise OSError(errno.EIO, "it did not reach the disk")
        sync(handle)

    monkeypatch.setattr(os, "fdatasync", once)
    with pytest.raises(StoreFailed, match=r"0000\.seg: the disk refused at byte \d+: it did not"):
        journal.write([b"lost", b"lost", b"lost"])
    assert journal.last_seq == 1
    assert journal.write([b"c"]) == 5
    assert synced[0] != synced[1]
    assert [int(p.stem) for p in segments(tmp_path)] == [0, 5]
    assert frames(journal) == {0: b"a", 1: b"b", 5: b"c"}
    journal.close()
    assert frames(opened(tmp_path)) == {0: b"a", 1: b"b", 5: b"c"}


def test_frames_of_a_failed_sync_that_reached_the_disk_all_the_same_do_not_come_back(tmp_path, monkeypatch):
    """Not even where the file cannot be cut: the next segment says where it ended."""
    journal = opened(tmp_path)
    journal.write([b"a"])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing(os.fdatasync, at=0))
        patch.setattr(os, "ftruncate", failing(os.ftruncate, at=0))
        with pytest.raises(StoreFailed):
            journal.write([b"ghost"])
    journal.write([b"b"])
    assert b"ghost" in segments(tmp_path)[0].read_bytes()
    journal.close()
    assert frames(opened(tmp_path)) == {0: b"a", 2: b"b"}


@contextmanager
def files_up_to(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_the_system_cuts_short_leaves_nothing_behind(tmp_path):
    """A real short write: the limit lets a part of the group through."""
    journal = opened(tmp_path, storage=Storage(reserve_bytes=0))
    journal.write([bytes(100)])
    before = segments(tmp_path)[0].stat().st_size
    with files_up_to(before + FRAME + 150):
        for _ in range(3):
            with pytest.raises(StoreFailed, match=f"at byte {before}"):
                journal.write([bytes(100), bytes(100)])
            assert segments(tmp_path)[0].stat().st_size == before
        assert journal.write([bytes(100)]) == 1
    assert journal.write([b"again"]) == 2
    journal.close()
    assert frames(opened(tmp_path)).keys() == {0, 1, 2}


@pytest.fixture
def disk(tmp_path):
    """A disk of 4 MiB, which needs the right to mount one."""
    where = tmp_path / "disk"
    where.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(where)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


def test_a_full_disk_refuses_gives_the_reserve_away_and_recovers_by_itself(disk):
    journal = opened(disk / "journal", storage=Storage())
    reserve = disk / "journal" / "reserve"
    assert reserve.stat().st_blocks * 512 >= 1 << 20
    acknowledged = {}
    with pytest.raises(StoreFailed, match="the disk is full"):  # noqa: PT012
        while True:
            acknowledged[journal.write([bytes(50_000)])] = bytes(50_000)
    assert len(acknowledged) > 40
    assert not reserve.exists(), "the database may finish in it"
    for _ in range(3):
        with pytest.raises(StoreFailed, match="recording goes on by itself"):
            journal.write([b"small"])  # the room that was given away is not ours to take
    (disk / "of the database").write_bytes(bytes(900_000))
    assert frames(journal) == acknowledged
    (disk / "of the database").unlink()
    journal.trim(journal.last_seq)
    with pytest.raises(StoreFailed, match="the disk is full"):
        journal.write([b"still"])
    journal.close()
    again = opened(disk / "journal", after=max(acknowledged), storage=Storage())
    with pytest.raises(StoreFailed, match="the disk is full"):
        again.write([b"still"])
    os.truncate(segments(disk / "journal")[0], HEADER)
    assert again.write([b"room"]) == max(acknowledged) + 1
    assert reserve.exists()


def test_the_reserve_is_made_once_and_can_be_given_away_by_any_thread(tmp_path):
    journal = opened(tmp_path, storage=Storage(reserve_bytes=8192))
    made = (tmp_path / "reserve").stat().st_ino
    journal.write([b"x"])
    journal.close()
    journal = opened(tmp_path, storage=Storage(reserve_bytes=8192))
    assert (tmp_path / "reserve").stat().st_ino == made
    journal.relieve()
    journal.relieve()
    assert not (tmp_path / "reserve").exists()
    journal.write([b"y"])
    assert (tmp_path / "reserve").stat().st_size == 8192
    assert opened(tmp_path, storage=Storage(reserve_bytes=4096)).last_seq == 1
    assert (tmp_path / "reserve").stat().st_size == 4096
