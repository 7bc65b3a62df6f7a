import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import EngineFault, ShapeError
from recengine.features.item import ITEM_VALUES, ItemTallies
from recengine.features.signals import Signals
from recengine.kernels.tallies import N_VALUES, Tallies, sweep
from recengine.types import NO_TIME
from tests.oracles import tallies as oracle

HOUR = 3_600_000_000
T0 = 1_700_000_000_000_000
START = T0 // HOUR * HOUR
WINDOWS, HALF_LIFE = (2, 5, 12), 3
NOBODY = np.full(0, NO_TIME)

MOMENT = st.builds(lambda hour, within: START + hour * HOUR + within, st.integers(-60, 60), st.sampled_from([0, 1, HOUR // 2, HOUR - 1]))
TIME = st.one_of(MOMENT, MOMENT, MOMENT, MOMENT, st.integers(0, 50), st.just(NO_TIME))
FLAGS = st.sampled_from([0, 1, 1, 1, 3, 5, 5, 8, 16, 17, 21, 24])
EVENT = st.tuples(st.integers(0, 4), TIME, FLAGS, st.integers(-5120, 5120).map(float))
STEP = st.one_of(
    st.tuples(st.just("apply"), st.lists(EVENT, max_size=6)),
    st.tuples(st.just("apply"), st.lists(EVENT, min_size=1, max_size=1)),
    st.tuples(st.just("advance"), MOMENT),
    st.tuples(st.just("retract"), st.lists(st.integers(0, 10**6), max_size=4)),
    st.tuples(st.just("read"), MOMENT),
)
SINCE = st.lists(st.one_of(st.just(NO_TIME), MOMENT, st.sampled_from([-1, -HOUR, -HOUR - 1])), min_size=0, max_size=6).map(lambda x: np.array(x, np.int64))


def told(events):
    columns = zip(*events, strict=True) if events else ([], [], [], [])
    item, time, flags, amount = columns
    return Signals(
        np.zeros(len(events), np.int32), np.array(item, np.int32), np.array(time, np.int64), np.array(flags, np.uint8), np.array(amount, np.float64)
    )


def since_of(since, item):
    return int(since[item]) if item < len(since) else NO_TIME


def bits(values):
    return np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32)


def expected(events, items, now, t, since):
    return np.array([oracle.values(events, i, now, t, since_of(since, i), WINDOWS, HALF_LIFE) for i in items], np.float32).reshape(-1, 13).T


@settings(max_examples=400, deadline=None)
@given(st.lists(STEP, max_size=14), SINCE, st.integers(0, 3))
def test_any_course_of_events_reads_as_if_counted_anew(steps, since, n_items):
    state, events, now = ItemTallies(WINDOWS, HALF_LIFE, n_items), [], NO_TIME
    items = np.array([3, 0, 5, 1, 2, 4, 3, 99], np.int32)
    for what, told_now in [*steps, ("read", START + 61 * HOUR), ("read", START + 300 * HOUR)]:
        if what == "apply":
            state.apply(told(told_now))
            events += told_now
        elif what == "retract":
            rows = list(dict.fromkeys(k % len(events) for k in told_now)) if events else []
            state.retract(told([events[row] for row in rows]))
            events = [e for row, e in enumerate(events) if row not in rows]
        elif what == "advance":
            state.advance(told_now)
            now = max(now, told_now)
        else:
            now = max(now, told_now)
            out = np.empty((13, len(items)), np.float32)
            state.read(items, told_now, since, out)
            np.testing.assert_array_equal(bits(out), bits(expected(oracle.counting(events, now), items, now, told_now, since)))


@pytest.mark.parametrize("seed", range(12))
def test_a_long_course_of_few_items_reads_as_if_counted_anew(seed):
    rng = np.random.default_rng(seed)
    state, events, now, items = ItemTallies(WINDOWS, HALF_LIFE), [], START, np.array([0, 1], np.int32)
    state.advance(now)
    for _ in range(150):
        if rng.random() < 0.5 or not events:
            hour = now // HOUR + rng.integers(-14, 2)
            one = (int(rng.integers(0, 2)), int(hour * HOUR), int(rng.choice([0, 1, 5, 17])), float(rng.integers(0, 5120)))
            events.append(one)
            state.apply(told([one]))
        elif rng.random() < 0.6:
            state.retract(told([events.pop(rng.integers(len(events)))]))
        else:
            now += int(rng.integers(0, 3)) * HOUR
            out = np.empty((13, 2), np.float32)
            state.read(items, now, NOBODY, out)
            np.testing.assert_array_equal(bits(out), bits(expected(oracle.counting(events, now), items, now, now, NOBODY)))


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENT, max_size=25), st.lists(st.tuples(st.integers(0, 6), st.one_of(MOMENT, TIME)), max_size=12), SINCE)
def test_a_sweep_equals_the_events_before_each_moment(events, probes, since):
    items, times = np.array([i for i, _ in probes], np.int32), np.array([t for _, t in probes], np.int64)
    out = np.empty((13, len(probes)), np.float32)
    ItemTallies(WINDOWS, HALF_LIFE).sweep(told(events), items, times, since, out)
    for p, (item, t) in enumerate(probes):
        want = expected(oracle.before(events, t), [item], t, t, since)[:, 0]
        np.testing.assert_array_equal(bits(out[:, p]), bits(want))


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENT, max_size=25), st.lists(st.tuples(st.integers(0, 6), MOMENT), min_size=1, max_size=12), SINCE)
def test_a_sweep_equals_reading_while_the_events_come_in(events, probes, since):
    probes, ordered = sorted(probes, key=lambda p: p[1]), sorted(events, key=lambda e: e[1])
    items, times = np.array([i for i, _ in probes], np.int32), np.array([t for _, t in probes], np.int64)
    swept, read = np.empty((13, len(probes)), np.float32), np.empty((13, len(probes)), np.float32)
    state, done = ItemTallies(WINDOWS, HALF_LIFE), 0
    state.sweep(told(events), items, times, since, swept)
    for p, t in enumerate(times.tolist()):
        while done < len(ordered) and ordered[done][1] < t:
            state.apply(told(ordered[done : done + 1]))
            done += 1
        one = np.empty((13, 1), np.float32)
        state.read(items[p : p + 1], t, since, one)
        read[:, p] = one[:, 0]
    np.testing.assert_array_equal(bits(swept), bits(read))


@settings(max_examples=100, deadline=None)
@given(st.lists(EVENT, max_size=20), st.lists(EVENT, max_size=20), st.lists(MOMENT, max_size=4))
def test_what_was_taken_out_again_leaves_nothing_behind(kept, gone, moments):
    items, now = np.arange(6, dtype=np.int32), START + 61 * HOUR
    plain, both = ItemTallies(WINDOWS, HALF_LIFE), ItemTallies(WINDOWS, HALF_LIFE)
    for state, events in ((plain, kept), (both, kept[:5] + gone + kept[5:])):
        state.apply(told(events))
        for moment in moments:
            state.advance(moment)
    both.retract(told(gone[::-1]))
    for t in (now, now + 5 * HOUR):
        one, other = np.empty((13, 6), np.float32), np.empty((13, 6), np.float32)
        plain.read(items, t, NOBODY, one)
        both.read(items, t, NOBODY, other)
        np.testing.assert_array_equal(bits(one), bits(other))


def read(state, items, t, since=NOBODY):
    out = np.empty((13, len(items)), np.float32)
    state.read(np.array(items, np.int32), t, since, out)
    return dict(zip((name.format(w1="1h", w2="1d", w3="7d") for name in ITEM_VALUES), out, strict=True))


def test_an_event_of_a_later_hour_waits_and_expires_nothing():
    state = ItemTallies((1, 24, 168), 24)
    state.advance(START)
    state.apply(told([(0, START, 1, 0.0), (0, START + 1000 * HOUR, 1, 0.0)]))
    assert read(state, [0], START)["item_engaged_1h"].tolist() == [1]
    assert read(state, [0], START)["item_engaged"].tolist() == [1]
    late = read(state, [0], START + 1000 * HOUR)
    assert (late["item_engaged_1h"].tolist(), late["item_engaged_7d"].tolist(), late["item_engaged"].tolist()) == ([1], [1], [2])


def test_an_older_moment_reads_as_the_hour_that_is_reached():
    state = ItemTallies((1, 24, 168), 24)
    state.apply(told([(0, START, 1, 0.0)]))
    read(state, [0], START + 3 * HOUR)
    assert read(state, [0], START)["item_engaged_1h"].tolist() == [0]


def test_a_late_event_counts_in_the_windows_that_still_hold_it_alone():
    state = ItemTallies((1, 24, 168), 24)
    state.advance(START + 30 * HOUR)
    state.apply(told([(2, START, 5, 0.0)]))
    got = read(state, [2], START + 30 * HOUR)
    assert [got[name].item() for name in ("item_engaged_1h", "item_engaged_1d", "item_engaged_7d", "item_converted_7d")] == [0, 0, 1, 1]
    assert got["item_decayed"].item() == 0.25  # two midnights lie between
    assert read(state, [2], START + 168 * HOUR)["item_engaged_7d"].item() == 0


def test_where_times_only_sort_what_needs_a_moment_is_missing_and_the_rest_is_not():
    state = ItemTallies((1, 24, 168), 24)
    state.apply(told([(0, 7, 17, 4096.0), (0, 8, 5, 0.0), (1, 9, 17, 2048.0)]))
    got = read(state, [0, 1], START)
    there = {"item_engaged", "item_rating", "item_ratings"}
    assert {name for name, values in got.items() if not np.isnan(values).any()} == there
    assert got["item_engaged"].tolist() == [2, 1]
    assert got["item_rating"].tolist() == [np.float32((4 + 5 * 3) / 6), np.float32((2 + 5 * 3) / 6)]


def test_the_catalogue_says_when_an_item_began_once_that_has_come():
    state = ItemTallies((1, 24, 168), 24)
    since = np.array([START - 48 * HOUR, START + 1, NO_TIME], np.int64)
    assert read(state, [0, 1, 2, 3], START, since)["item_freshness"][0] == 2
    assert np.isnan(read(state, [1, 2, 3], START, since)["item_freshness"]).all()
    assert read(state, [1], START + 1, since)["item_freshness"].item() == 0


def test_taking_out_what_never_was_is_our_fault_and_changes_nothing():
    state = ItemTallies((1, 24, 168), 24)
    events = told([(0, START, 1, 0.0), (0, 5, 1, 0.0)])
    state.apply(events)
    state.apply(told([(1, START + HOUR, 8, 0.0)]))
    before = read(state, [0, 1], START + HOUR)
    for strange in ((1, START + HOUR, 1, 0.0), (1, START, 1, 0.0), (0, START - HOUR, 1, 0.0), (0, START, 5, 0.0), (0, START, 17, 0.0), (0, START + 9 * HOUR, 1, 0.0), (9, 5, 1, 0.0), (0, 5, 17, 0.0)):
        with pytest.raises(EngineFault, match="1 of 1 events"):
            state.retract(told([strange]))
    for name, values in read(state, [0, 1], START + HOUR).items():
        np.testing.assert_array_equal(values, before[name])
    state.retract(events)
    with pytest.raises(EngineFault, match="2 of 2 events"):
        state.retract(events)


def test_the_order_of_a_batch_and_its_cuts_do_not_matter():
    rng = np.random.default_rng(3)
    events = [(int(i), int(START + h * HOUR), int(f), float(a)) for i, h, f, a in zip(rng.integers(0, 9, 400), rng.integers(-900, 1, 400), rng.choice([1, 5, 17], 400), rng.integers(0, 5120, 400), strict=True)]
    whole, bits_of_it = ItemTallies((24, 168, 720), 168), ItemTallies((24, 168, 720), 168)
    whole.apply(told(events))
    bits_of_it.advance(START - 300 * HOUR)
    for at in rng.permutation(400):
        bits_of_it.apply(told([events[at]]))
    one, other = read(whole, range(9), START), read(bits_of_it, range(9), START)
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])


def test_it_grows_by_itself_and_says_its_size():
    state = ItemTallies((1, 24, 168), 24, n_items=2)
    small = state.memory
    state.apply(told([(5000, START, 1, 0.0)]))
    assert read(state, [5000, 5001], START)["item_engaged"].tolist() == [1, 0]
    assert state.memory - small > 5000 * 128


def test_strided_and_read_only_columns_are_taken():
    events = told([(0, START, 1, 0.0), (1, START, 5, 0.0), (0, START, 17, 1024.0)])
    doubled = Signals(*(np.repeat(column, 2)[::2] for column in events))
    for column in events:
        column.flags.writeable = False
    one, other = ItemTallies((1, 24, 168), 24), ItemTallies((1, 24, 168), 24)
    one.apply(events)
    other.apply(doubled)
    for name, values in read(one, [0, 1], START).items():
        np.testing.assert_array_equal(values, read(other, [0, 1], START)[name])


def test_there_is_a_name_for_every_value():
    assert len(ITEM_VALUES) == len(set(ITEM_VALUES)) == N_VALUES


I32, I64, U8, F64 = (np.zeros(2, t) for t in (np.int32, np.int64, np.uint8, np.float64))
OUT = np.empty((13, 2), np.float32)
FROZEN = OUT.copy()
FROZEN.flags.writeable = False
LOWEST = np.array([0, -1], np.int32)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: Tallies((1, 1, 2), 1), "windows"),
        (lambda: Tallies((0, 1, 2), 1), "windows"),
        (lambda: Tallies((1, 2, 3), 0), "half_life"),
        (lambda: Tallies((1, 2, 3), 1).fold(I64, I64, U8, F64), "items"),
        (lambda: Tallies((1, 2, 3), 1).fold(LOWEST, I64, U8, F64), "items"),
        (lambda: Tallies((1, 2, 3), 1).fold(I32, I64[:1], U8, F64), "times"),
        (lambda: Tallies((1, 2, 3), 1).fold(I32, I64, F64, F64), "flags"),
        (lambda: Tallies((1, 2, 3), 1).fold(I32, I64, U8, U8), "amounts"),
        (lambda: Tallies((1, 2, 3), 1).read(LOWEST, 0, I64, OUT), "items"),
        (lambda: Tallies((1, 2, 3), 1).read(I32, 0, I32, OUT), "since"),
        (lambda: Tallies((1, 2, 3), 1).read(I32, 0, I64, OUT[:12]), "out"),
        (lambda: Tallies((1, 2, 3), 1).read(I32, 0, I64, np.empty((2, 13), np.float32).T), "out"),
        (lambda: Tallies((1, 2, 3), 1).read(I32, 0, I64, FROZEN), "out"),
        (lambda: sweep((1, 2, 3), 1, (LOWEST, I64, U8, F64), I32, I64, I64, OUT), "items"),
        (lambda: sweep((1, 2, 3), 1, (I32, I64, U8, F64), LOWEST, I64, I64, OUT), "asked"),
        (lambda: sweep((1, 2, 3), 1, (I32, I64, U8, F64), I32, I64[:1], I64, OUT), "moments"),
    ],
)
def test_a_wrong_argument_is_named(call, name):
    with pytest.raises(ShapeError, match=f"^{name}: "):
        call()


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENT, max_size=30), SINCE, st.integers(0, 2**13 - 1), st.integers(0, 200), st.integers(0, 2**31))
def test_what_is_wanted_is_written_and_nothing_else(events, since, wanted, n, seed):
    state = ItemTallies(WINDOWS, HALF_LIFE)
    state.apply(told(events))
    items = np.random.default_rng(seed).integers(0, 7, n).astype(np.int32)
    whole, some = np.empty((13, n), np.float32), np.full((13, n), -7, np.float32)
    state.read(items, START + 61 * HOUR, since, whole)
    state.read(items, START + 61 * HOUR, since, some, wanted)
    for k in range(13):
        np.testing.assert_array_equal(bits(some[k]), bits(whole[k] if wanted >> k & 1 else np.full(n, -7, np.float32)))
