"""The co-visitation kernel against its oracle."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.errors import EngineFault, ShapeError
from recengine.kernels import covisits as door
from recengine.kernels.covisits import Covisits, sweep
from tests.oracles import covisits as oracle

SOME = np.array([0, 1], np.int32)


def drawn(rng, n, n_items):
    """Pairs with a few popular items, some of them of an item with itself."""
    a, b = (np.minimum(rng.geometric(0.15, n) - 1, n_items - 1).astype(np.int32) for _ in range(2))
    return a, b


def held(covisits, n_items):
    out = np.zeros((n_items, n_items), np.int64)
    for item in range(n_items):
        neighbours, counts = covisits.counts(item)
        assert (np.diff(neighbours) > 0).all()
        out[item, neighbours] = counts
    return out


@given(st.data())
def test_counts_and_strength_equal_the_oracle_in_any_order_of_adding(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n_items, n = data.draw(st.sampled_from([1, 2, 9, 70, 200])), data.draw(st.sampled_from([0, 1, 7, 300, 2500]))
    a, b = drawn(rng, n, n_items)
    whole, shuffled, bulk = Covisits(n_items), Covisits(), Covisits()
    whole.add(a, b)
    order = rng.permutation(n)
    for part in np.array_split(order, 5):
        shuffled.add(b[part], a[part])
    bulk._merge(*(x[order] for x in (a, b))) if n else None
    wanted = oracle.counts([(x, y, 1) for x, y in zip(a, b, strict=True)], n_items)
    for made in (whole, shuffled, bulk):
        np.testing.assert_array_equal(held(made, n_items), wanted)
        assert made.pairs == np.count_nonzero(wanted) // 2
    anchors = rng.integers(-1, n_items + 2, data.draw(st.integers(0, 6))).astype(np.int32)
    for count in (0, 1, 3, 64, 3 * n_items):
        items = rng.integers(-1, n_items + 2, count).astype(np.int32)
        items.setflags(write=False)
        np.testing.assert_array_equal(whole.strength(anchors, items), oracle.strength(wanted, anchors, items))
        np.testing.assert_array_equal(shuffled.strength(anchors, items), whole.strength(anchors, items))


@given(st.data())
def test_what_is_added_and_taken_away_again_leaves_no_trace(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n_items = data.draw(st.sampled_from([2, 5, 40, 300]))
    kept, gone = (drawn(rng, data.draw(st.sampled_from([1, 5, 400, 3000])), n_items) for _ in range(2))
    covisits = Covisits()
    covisits.add(*kept)
    before, items = held(covisits, n_items), np.arange(n_items, dtype=np.int32)
    strengths, pairs = covisits.strength(items[:5], items), covisits.pairs
    covisits.add(*gone)
    order = rng.permutation(len(gone[0]))
    if data.draw(st.booleans()):
        covisits._merge(gone[0][order], gone[1][order], -1)
    else:
        covisits.add(gone[0][order], gone[1][order], -1)
    np.testing.assert_array_equal(held(covisits, n_items), before)
    np.testing.assert_array_equal(covisits.strength(items[:5], items), strengths)
    assert covisits.pairs == pairs


def test_the_arena_grows_by_moving_lists_and_shrinks_when_most_is_taken_away():
    rng = np.random.default_rng(3)
    covisits, few = Covisits(), 500
    a, b = rng.integers(0, 3000, 20_000).astype(np.int32), rng.integers(0, 40, 20_000).astype(np.int32)
    for part in range(0, len(a), few):  # a block too small to be merged: every entry is inserted
        covisits.add(a[part : part + few], b[part : part + few])
    wanted = oracle.counts(zip(a, b, np.ones(len(a), int), strict=True), 3000)
    np.testing.assert_array_equal(held(covisits, 3000), wanted)
    assert covisits._arena.state[1] == np.count_nonzero(wanted)
    assert covisits.memory < 8 * 6 * np.count_nonzero(wanted) + 40 * covisits.n_items
    full = covisits.memory
    covisits.compact()
    np.testing.assert_array_equal(held(covisits, 3000), wanted)
    for part in range(0, len(a), few):
        covisits.add(a[part : part + few], b[part : part + few], -1)
    assert covisits.pairs == 0
    assert covisits.memory < full / 3
    assert not covisits._arena.total.any()


def test_a_list_much_longer_than_the_candidates_is_searched_to_the_same_end():
    n = 40 * 64
    covisits = Covisits()
    others = np.arange(1, n + 1, dtype=np.int32)
    covisits.add(np.zeros(n, np.int32), others)
    covisits.add(others[:-1], others[1:])
    counted = oracle.counts([*((0, i, 1) for i in others), *zip(others[:-1], others[1:], np.ones(n, int), strict=False)], n + 1)
    for items in (others[5:6], others[[7, 2, 7, 2000]], np.array([-1, 0, n, n + 1], np.int32), others):
        np.testing.assert_array_equal(covisits.strength(SOME, items), oracle.strength(counted, SOME, items))


def test_a_pair_that_was_not_counted_cannot_be_taken_away():
    covisits = Covisits()
    covisits.add(SOME[:1], SOME[1:])
    with pytest.raises(EngineFault, match=r"\(1, 2\)"):
        covisits.add(np.array([1], np.int32), np.array([2], np.int32), -1)
    with pytest.raises(EngineFault, match=r"\(0, 2\)|\(2, 0\)"):
        covisits._merge(np.array([0, 0], np.int32), np.array([1, 2], np.int32), -1)
    assert covisits.counts(0)[1].tolist() == [1]


def test_an_item_that_nobody_knows_has_no_neighbours():
    covisits = Covisits(3)
    assert [len(part) for part in covisits.counts(2)] == [0, 0]
    assert [len(part) for part in covisits.counts(-1)] == [0, 0]
    assert covisits.n_items == 3


@given(st.data())
def test_a_sweep_equals_its_oracle_and_the_live_counts_at_every_moment(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n_users, n_items = data.draw(st.integers(1, 4)), data.draw(st.sampled_from([1, 2, 6, 12]))
    n, m = data.draw(st.sampled_from([0, 1, 9, 40])), data.draw(st.sampled_from([0, 1, 11]))
    n_anchors, span = data.draw(st.sampled_from([1, 2, 5, 100])), data.draw(st.integers(1, 3))
    user, item = rng.integers(0, n_users, n).astype(np.int32), rng.integers(0, n_items, n).astype(np.int32)
    time = rng.integers(0, data.draw(st.sampled_from([2, 50])), n)
    users, items = rng.integers(-1, n_users + 1, m).astype(np.int32), rng.integers(-1, n_items + 1, m).astype(np.int32)
    times = rng.integers(0, 52, m)
    got = sweep(user, item, time, users, items, times, n_anchors, span)
    np.testing.assert_array_equal(got, oracle.sweep(user, item, time, users, items, times, n_anchors, span))
    live, trails = Covisits(), {}
    events = iter(np.argsort(time, kind="stable").tolist())
    event = next(events, None)
    for probe in np.argsort(times, kind="stable"):
        while event is not None and time[event] < times[probe]:
            trail = trails.setdefault(int(user[event]), [])
            before = np.array(trail[-span:], np.int32)
            live.add(before, np.full(len(before), item[event], np.int32))
            trail.append(int(item[event]))
            event = next(events, None)
        anchors = np.array(list(dict.fromkeys(reversed(trails.get(int(users[probe]), [])[-n_anchors:]))), np.int32)
        assert live.strength(anchors, items[probe : probe + 1])[0] == got[probe]


def test_a_sweep_s_table_grows_without_losing_a_pair(monkeypatch):
    rng = np.random.default_rng(5)
    user, item = rng.integers(0, 50, 5000).astype(np.int32), rng.integers(0, 300, 5000).astype(np.int32)
    time = rng.permutation(5000)
    probes = (user[::7], rng.integers(0, 300, len(user[::7])).astype(np.int32), time[::7])
    small = sweep(user, item, time, *probes, 5, 2)
    assert np.count_nonzero(small)
    monkeypatch.setattr(door, "FIRST_BITS", 16)
    np.testing.assert_array_equal(sweep(user, item, time, *probes, 5, 2), small)


def test_sweeps_side_by_side_and_of_strided_arrays_agree():
    rng = np.random.default_rng(8)
    user, item = rng.integers(0, 30, 4000).astype(np.int32), rng.integers(0, 60, 4000).astype(np.int32)
    time = np.sort(rng.integers(0, 1000, 4000))
    alone = sweep(user[::2].copy(), item[::2].copy(), time[::2].copy(), user, item, time, 3, 2)
    found = [None, None]

    def run(slot):
        found[slot] = sweep(user[::2], item[::2], time[::2], user, item, time, 3, 2)

    threads = [threading.Thread(target=run, args=(slot,)) for slot in (0, 1)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    np.testing.assert_array_equal(found[0], alone)
    np.testing.assert_array_equal(found[1], alone)


def test_requests_beside_a_writer_see_whole_pairs_only():
    covisits, wrong = Covisits(400), []
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            value = float(covisits.strength(np.array([0], np.int32), np.array([1], np.int32))[0])
            if value not in {0.0, 1.0}:  # 0 and 1 are paired with each other alone
                wrong.append(value)

    reader = threading.Thread(target=ask)
    reader.start()
    rng = np.random.default_rng(1)
    for _ in range(400):
        covisits.add(SOME[:1], SOME[1:])
        covisits.add(*(rng.integers(2, 400, 50).astype(np.int32) for _ in range(2)))
    stop.set()
    reader.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda c: c.add(SOME.astype(np.int64), SOME), "a"),
        (lambda c: c.add(SOME, SOME[:1]), "b"),
        (lambda c: c.add(SOME, -SOME), "negative"),
        (lambda c: c.add(SOME, SOME, 2), "sign"),
        (lambda c: c.strength(SOME[None], SOME), "anchors"),
        (lambda c: c.strength(SOME, SOME.astype(np.float32)), "items"),
        (lambda c: c.strength(SOME, SOME, np.empty(3, np.float32)), "out"),
        (lambda c: c.strength(SOME, SOME, np.empty(4, np.float32)[::2]), "out"),
        (lambda _: sweep(SOME, SOME, SOME, SOME, SOME, SOME.astype(np.int64), 5, 2), "event_times"),
        (lambda _: sweep(-SOME, SOME, SOME.astype(np.int64), SOME, SOME, SOME.astype(np.int64), 5, 2), "negative"),
        (lambda _: sweep(SOME, SOME, SOME.astype(np.int64), SOME, SOME, SOME.astype(np.int64), 101, 2), "n_anchors"),
        (lambda _: sweep(SOME, SOME, SOME.astype(np.int64), SOME, SOME, SOME.astype(np.int64), 5, 0), "span"),
    ],
)
def test_a_wrong_argument_is_named(call, name):
    with pytest.raises(ShapeError, match=name):
        call(Covisits(2))
