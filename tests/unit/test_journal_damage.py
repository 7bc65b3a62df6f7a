"""A damaged journal: what a later frame proves to have been acknowledged is never lost in silence."""

import os
import shutil
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.config import Storage
from recengine.errors import RecEngineError, StoreCorrupt
from recengine.store.segments import FRAME, HEADER, Header, frame, header, survey
from tests.unit.test_journal import frames, opened, segments

GROUPS = ([b"a"], [b"bb", b"ccc", b"d"], [b"eeee", b""], [b"f", b"g" * 20])
PAYLOADS = [p for group in GROUPS for p in group]


def written(folder, groups=GROUPS, **more):
    journal = opened(folder, **more)
    for group in groups:
        journal.write(group)
    journal.close()
    return segments(folder)


def ends_of(payloads):
    """The offset after each frame."""
    at, found = HEADER, []
    for payload in payloads:
        at += FRAME + len(payload)
        found.append(at)
    return found


def test_cut_at_any_byte_the_whole_frames_before_it_are_there(tmp_path):
    (path,) = written(tmp_path / "j")
    whole, ends = path.read_bytes(), ends_of(PAYLOADS)
    assert ends[-1] == len(whole)
    for size in range(len(whole) + 1):
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / path.name).write_bytes(whole[:size])
        journal = opened(folder)
        there = sum(end <= size for end in ends)
        assert list(frames(journal).values()) == PAYLOADS[:there]
        assert journal.cut == (size - [HEADER, *ends][there] if size >= HEADER else 0)
        assert journal.write([b"next"]) == there
        journal.close()
        assert list(frames(opened(folder)).values()) == [*PAYLOADS[:there], b"next"]
        shutil.rmtree(folder)


@pytest.mark.parametrize("after", [-1, 3, 7])
def test_a_flipped_bit_is_found_or_is_in_the_last_group(tmp_path, after):
    """The last group is the one that no later frame knows to be durable."""
    (path,) = written(tmp_path / "j")
    whole, ends = path.read_bytes(), ends_of(PAYLOADS)
    told = sum(map(len, GROUPS[:-1])) - 1
    for bit in range(len(whole) * 8):
        raw = bytearray(whole)
        raw[bit // 8] ^= 1 << bit % 8
        path.write_bytes(raw)
        hit = sum(end <= bit // 8 for end in ends)  # the frame that holds the bit
        try:
            journal = opened(path.parent, after=after)
        except StoreCorrupt as err:
            assert bit // 8 < HEADER or after < hit <= told
            told_of = str(err)
            assert path.name in told_of
            assert bit // 8 < HEADER or f"at byte {ends[hit] - FRAME - len(PAYLOADS[hit])}:" in told_of
        else:
            assert bit // 8 >= HEADER
            assert hit > told or hit <= after
            there = frames(journal, max(after, journal.oldest))
            assert there == {
                s: p for s, p in enumerate(PAYLOADS) if s > max(after, journal.oldest) and (s < hit or hit <= after)
            }
            journal.close()
    path.write_bytes(whole)
    assert opened(path.parent, after=after).oldest == -1


def test_a_group_that_the_database_has_begun_to_store_is_no_torn_tail(tmp_path):
    (path,) = written(tmp_path, [[b"a"], [b"b", b"c", b"d"]])
    raw = bytearray(path.read_bytes())
    raw[ends_of([b"a", b"b", b"c"])[-1] - 1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(StoreCorrupt, match="frames 2 to 2 cannot be read, and the database ends at frame 1"):
        opened(tmp_path, after=1)
    assert opened(tmp_path, after=2).last_seq == 3
    assert opened(tmp_path, after=0).last_seq == 1, "as far as anyone can tell it was being written"


def test_damage_that_the_database_has_got_past_costs_nothing(tmp_path):
    (path,) = written(tmp_path, [[b"%d" % n] for n in range(20)])
    raw = bytearray(path.read_bytes())
    raw[HEADER + 5 * (FRAME + 1) + 4] ^= 0x40  # the length of frame 5
    path.write_bytes(raw)
    with pytest.raises(StoreCorrupt, match="frames 5 to 5"):
        opened(tmp_path, after=4)
    journal = opened(tmp_path, after=5)
    assert journal.oldest == 5
    assert frames(journal, 5).keys() == set(range(6, 20))
    with pytest.raises(StoreCorrupt, match="holds those after 5"):
        list(journal.read(2))
    assert journal.write([b"on"]) == 20


@pytest.fixture
def three(tmp_path):
    """Three segments of frames 0-1, 2-3, 4-5."""
    paths = written(tmp_path / "j", [[bytes(400), bytes(400)]] * 3)
    assert len(paths) == 3
    return paths


@pytest.mark.parametrize("how", ["unlink", "header", "empty"])
def test_a_lost_segment_between_others_is_missed(three, how):
    first, middle, _ = three
    if how == "unlink":
        middle.unlink()
    elif how == "empty":
        middle.write_bytes(b"")
    else:
        with middle.open("r+b") as file:
            file.seek(20)
            file.write(b"?")
    for after in (-1, 1, 2):
        with pytest.raises(StoreCorrupt, match=rf"{first.name}: damaged at byte \d+: the acknowledged frames 2 to 3"):
            opened(first.parent, after=after)
    journal = opened(first.parent, after=3)
    assert frames(journal, 3).keys() == {4, 5}
    with pytest.raises(StoreCorrupt, match="frames 2 to 3"):
        list(journal.read(1))  # where only what is asked for tells, asking tells
    journal.write([bytes(900)])
    journal.trim(5)
    assert [int(p.stem) for p in segments(first.parent)] == [6]


def test_a_lost_first_segment_is_missed(three):
    three[0].unlink()
    with pytest.raises(StoreCorrupt, match="begins after frame 1, and the database ends at frame 0"):
        opened(three[0].parent, after=0)


def test_a_segment_whose_end_was_cut_is_missed_by_the_next(three):
    os.truncate(three[1], three[1].stat().st_size - 1)
    with pytest.raises(StoreCorrupt, match="frames 3 to 3"):
        opened(three[1].parent)


def test_frames_that_only_the_database_has_are_not_asked_of_the_journal(three):
    three[2].unlink()
    journal = opened(three[0].parent, after=5)
    assert (journal.last_seq, journal.oldest) == (5, 5)
    assert journal.write([b"x"]) == 6
    journal.close()
    journal = opened(three[0].parent, after=6)
    with pytest.raises(StoreCorrupt):
        list(journal.read(1))
    assert opened(three[0].parent, after=5).last_seq == 6


def test_the_damaged_header_of_the_last_segment_is_not_guessed(three):
    with three[2].open("r+b") as file:
        file.write(b"?")
    for after in (-1, 5, 99):
        with pytest.raises(StoreCorrupt, match="header at byte 0 is damaged"):
            opened(three[2].parent, after=after)


def test_leftovers_of_a_start_that_was_cut_short_are_removed(three):
    (three[0].parent / "00000000000000000006.new").write_bytes(b"half")
    assert opened(three[0].parent).last_seq == 5
    assert not list(three[0].parent.glob("*.new"))


def test_a_payload_that_imitates_a_frame_is_no_frame(tmp_path):
    """Not even behind a torn frame, where every offset is tried: the checksum starts from this segment's header."""
    (other,) = written(tmp_path / "other", [[b"x"]] * 9, store=b"o" * 16)
    imitation = other.read_bytes()[HEADER + 4 * (FRAME + 1) :]
    (path,) = written(tmp_path / "j", [[b"a"], [b"b" + imitation]])
    raw = bytearray(path.read_bytes())
    raw[HEADER + FRAME + 1 + FRAME] ^= 1
    path.write_bytes(raw)
    assert frames(opened(tmp_path / "j")) == {0: b"a"}


@settings(max_examples=300)
@given(st.binary(max_size=300), st.integers(0, 3), st.integers(-1, 12))
def test_garbage_is_cut_or_refused_in_our_words(tmp_path_factory, garbage, keep, after):
    folder = tmp_path_factory.mktemp("g")
    (path,) = written(folder, GROUPS[: keep + 1])
    whole = path.read_bytes()
    for content in (garbage, whole[:HEADER] + garbage, whole + garbage, whole[: len(whole) // 2] + garbage):
        path.write_bytes(content)
        try:
            journal = opened(folder, after=after)
            told = frames(journal, max(after, journal.oldest))
        except RecEngineError:
            continue
        else:
            assert all(PAYLOADS[seq] == payload for seq, payload in told.items())
            journal.close()


@settings(max_examples=200)
@given(st.data())
def test_frames_behind_any_damage_are_found_again(data):
    """The survey of one segment: what is whole is found, what is not is named, whatever lies between."""
    raw = header(bytes(16), 0, -1)
    head = Header(bytes(16), 0, -1, int.from_bytes(raw[-4:], "little"))
    parts = [frame(b"p" * data.draw(st.integers(0, 30)), seq, seq - 1, head.seed) for seq in range(8)]
    broken = data.draw(st.sets(st.integers(0, 6)))
    for seq in broken:
        bad = bytearray(parts[seq])
        bad[data.draw(st.integers(0, len(bad) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        parts[seq] = bytes(bad) + data.draw(st.binary(max_size=10))
    found = survey(raw + b"".join(parts), head, None)
    assert {s for run in found.runs for s in range(run.first, run.last + 1)} == set(range(8)) - broken
    assert {s for hole in found.holes for s in range(hole.first, hole.last + 1)} == broken


def test_a_hundred_thousand_frames_are_read_and_checked_at_once(tmp_path):
    journal = opened(tmp_path, storage=Storage(reserve_bytes=0))
    for _ in range(100):
        journal.write([os.urandom(150) for _ in range(1000)])
    journal.close()
    took = []
    for _ in range(3):
        start = time.process_time()
        journal = opened(tmp_path)
        assert sum(len(payloads) for _, payloads in journal.read(-1)) == 100_000
        took.append(time.process_time() - start)
    assert min(took) < 1.0, "opening checks them once, reading once more; either is about 0.1 s"
