import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.errors import ShapeError
from recengine.features.lanes import lanes_from
from recengine.features.pairs import PAIR_VALUES, read_pairs
from recengine.features.session import SESSION_VALUES
from recengine.features.signals import CONVERTED, ENGAGED, RATED, REJECTED, VIEWED, Signals
from recengine.features.trails import NO_TRAIL, Trail, Trails, lookback, read_rows, read_trail
from recengine.features.user import USER_VALUES, read_user
from recengine.kernels import trails as kernel
from recengine.types import NO_TIME
from tests.oracles import trails as oracle
from tests.strategies import EPOCH

HOUR = 3_600_000_000
WIDTH = len(USER_VALUES) + len(SESSION_VALUES) + len(PAIR_VALUES)
FLAGS = (ENGAGED, ENGAGED | VIEWED, ENGAGED | CONVERTED, REJECTED, 0, ENGAGED | RATED, REJECTED | RATED)


def shop(rng, *, events=40, users=4, items=6, versions=2, span=100 * 24 * HOUR, timed=True, plain=False):
    """Signals in the order of users and times, with equal moments; and versions of items, with items and categories missing."""
    n = int(rng.integers(0, events + 1))
    first = EPOCH - EPOCH % (24 * HOUR) if timed else 0
    grid = rng.choice([1, HOUR // 4, HOUR]) if timed else 1
    time = first + rng.integers(0, max(span // grid, 1) if timed else 20, n) * grid
    user = rng.integers(0, users, n)
    order = np.lexsort((time, user))
    flags = rng.choice(np.array(FLAGS, np.uint8), n)
    amount = np.where(flags & (CONVERTED | RATED), rng.integers(0, 5000, n), 0).astype(np.float64)
    told = Signals(user[order].astype(np.int32), rng.integers(0, items, n).astype(np.int32), time[order].astype(np.int64), flags, amount)
    rows = []
    for item in range(items - 1 if not plain else items):  # the last one is not described
        count = 1 if plain else int(rng.integers(0, versions + 1))
        moments = [NO_TIME] if plain else sorted([NO_TIME if rng.random() < 0.3 else int(first + rng.integers(0, span // grid) * grid) for _ in range(count)])
        rows += [(item, at, int(rng.integers(-1, 3)), int(rng.integers(-1, 2)), float(rng.choice([np.nan, 1.25, 8.0, 99.5]))) for at in moments]
    item, at, category, brand, price = (np.array([r[k] for r in rows], t) for k, t in enumerate((np.int32, np.int64, np.int32, np.int32, np.float32)))
    lanes = lanes_from(items, item, at, category, brand, price, 3, 2)
    by_item = {i: [r[1:] for r in rows if r[0] == i] for i in range(items)}
    return told, lanes, by_item


def events_of(told, user):
    own = told.user == user
    return list(zip(told.item[own].tolist(), told.time[own].tolist(), told.flags[own].tolist(), told.amount[own].tolist(), strict=True))


def moments(rng, told, timed, n):
    """Moments around events, at events, and far from all."""
    base = rng.choice(told.time, n) if len(told.time) else np.full(n, EPOCH if timed else 3)
    return (base + rng.choice([0, 1, -1, HOUR // 2, 3 * HOUR, 24 * HOUR, 8 * 24 * HOUR] if timed else [0, 1, -1, 30], n)).astype(np.int64)


def asked(events, versions, t, timed, look, item):
    windows, history, session = look
    return [
        *oracle.user(events, versions, t, timed, windows, history, session),
        *oracle.session(events, t, timed, history, session),
        *oracle.pair(events, versions, t, timed, history, item),
    ]


LOOKS = st.tuples(st.sampled_from([(1, 2, 3), (24, 168, 720), (1, 24, 2000)]), st.sampled_from([1, 3, 10, 500]), st.sampled_from([0, HOUR // 2, 30 * HOUR]))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31), LOOKS, st.booleans(), st.booleans(), st.sampled_from([0, 1, 7, 60]), st.sampled_from([2 * HOUR, 50 * HOUR, 100 * 24 * HOUR]))
def test_values_are_what_the_definitions_say(seed, look, timed, plain, events, span):
    rng = np.random.default_rng(seed)
    told, lanes, versions = shop(rng, events=events, timed=timed, plain=plain, span=span)
    trails = Trails.of(told, 4)
    m = 12
    users, items, times = rng.integers(-1, 6, m).astype(np.int32), rng.integers(-1, 8, m).astype(np.int32), moments(rng, told, timed, m)
    out = np.full((WIDTH, m), -7, np.float32)
    read_rows(trails, lanes, lookback(*look), users, items, times, out, 2)
    timed = trails.timed and bool(times[0] >= 10**14)
    want = np.array([asked(events_of(told, u), versions, t, timed, look, i) for u, i, t in zip(users.tolist(), items.tolist(), times.tolist(), strict=True)])
    entropy = USER_VALUES.index("user_diversity")
    np.testing.assert_allclose(out[entropy], want[:, entropy], rtol=1e-6, atol=1e-7)
    out[entropy] = want[:, entropy] = 0
    np.testing.assert_array_equal(out, want.T.astype(np.float32))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**31), LOOKS, st.booleans())
def test_a_table_row_is_what_was_read_at_that_moment_when_events_came_one_by_one(seed, look, timed):
    rng = np.random.default_rng(seed)
    told, lanes, _ = shop(rng, timed=timed)
    view, m = lookback(*look), 10
    users, items = rng.integers(0, 5, m).astype(np.int32), rng.integers(0, 7, m).astype(np.int32)
    times = np.sort(moments(rng, told, timed, m))
    table = np.empty((WIDTH, m), np.float32)
    read_rows(Trails.of(told, 4), lanes, view, users, items, times, table, 1)
    by_time = told.take(np.argsort(told.time, kind="stable"))
    trails, done = Trails(), 0
    for k, t in enumerate(times.tolist()):
        while done < len(by_time.time) and by_time.time[done] < t:
            trails.apply(by_time.take(slice(done, done + 1)))
            done += 1
        trail = trails.of_user(int(users[k]))
        live = np.concatenate((read_user(trail, lanes, t, view), read_pairs(trail, lanes, t, items[k : k + 1], view)[:, 0]))
        np.testing.assert_array_equal(table[:, k].view(np.int32), live.view(np.int32))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**31), LOOKS, st.sampled_from([0, 1, 17, 700]))
def test_rows_are_the_same_bits_for_any_threads_and_any_batch(seed, look, m):
    rng = np.random.default_rng(seed)
    told, lanes, _ = shop(rng)
    trails, view = Trails.of(told, 4), lookback(*look)
    users, items, times = rng.integers(0, 4, m).astype(np.int32), rng.integers(0, 6, m).astype(np.int32), moments(rng, told, True, m)
    one, two = np.empty((WIDTH, m), np.float32), np.empty((WIDTH, m), np.float32)
    read_rows(trails, lanes, view, users, items, times, one, 1)
    read_rows(trails, lanes, view, users, items, times, two, 2)
    np.testing.assert_array_equal(one.view(np.int32), two.view(np.int32))
    for k in range(min(m, 3)):
        single = np.empty((WIDTH, 1), np.float32)
        read_rows(trails, lanes, view, users[k : k + 1], items[k : k + 1], times[k : k + 1], single, 1)
        np.testing.assert_array_equal(single[:, 0].view(np.int32), one[:, k].view(np.int32))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), LOOKS)
def test_pairs_of_many_items_are_those_of_one_at_a_time(seed, look):
    rng = np.random.default_rng(seed)
    told, lanes, _ = shop(rng, users=1)
    trail, view, t = Trail.of(told), lookback(*look), int(moments(rng, told, True, 1)[0])
    items = rng.integers(-1, 9, int(rng.integers(0, 40))).astype(np.int32)
    many = read_pairs(trail, lanes, t, items, view)
    assert many.shape == (len(PAIR_VALUES), len(items))
    own, both = read_trail(trail, lanes, t, items, view)
    np.testing.assert_array_equal(own, read_user(trail, lanes, t, view))
    np.testing.assert_array_equal(both, many)
    for k in range(len(items)):
        np.testing.assert_array_equal(many[:, k], read_pairs(trail, lanes, t, items[k : k + 1], view)[:, 0])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_trails_that_grew_in_any_order_are_those_made_at_once(seed, sizes):
    rng = np.random.default_rng(seed)
    told, _, _ = shop(rng, events=80, span=3 * HOUR)  # many equal moments
    arrival = rng.permutation(len(told.user)) if rng.random() < 0.5 else np.argsort(told.time, kind="stable")
    came = told.take(arrival)
    trails, done, shown = Trails(), 0, []
    for size in itertools.cycle(sizes):
        if done >= len(arrival):
            break
        trails.apply(came.take(slice(done, done + size)))
        done += size
        trail = trails.of_user(int(rng.integers(0, 4)))
        shown.append((trail, [column.copy() for column in trail[:4]]))
    whole = Trails.of(came.take(np.lexsort((came.time, came.user))), 4)  # stable: of equal moments the first that came
    for user in range(5):
        for got, want in zip(trails.of_user(user)[:4], whole.of_user(user)[:4], strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)
    for trail, copies in shown:  # what was handed out stays as it was
        for got, want in zip(trail[:4], copies, strict=True):
            np.testing.assert_array_equal(got, want)


def test_nobody_writes_into_a_trail():
    trails = Trails()
    trails.apply(Signals(*(np.array([1], t) for t in (np.int32, np.int32, np.int64, np.uint8, np.float64))))
    with pytest.raises(ValueError):
        trails.of_user(1).item[0] = 3


def test_strided_and_read_only_trails_are_taken():
    rng = np.random.default_rng(3)
    told, lanes, _ = shop(rng, users=1, events=40)
    frozen = [np.repeat(column, 2) for column in told[1:]]
    for column in frozen:
        column.flags.writeable = False
    view, t, items = lookback((24, 168, 720), 500, HOUR), int(told.time[-1]) + 1, np.arange(12, dtype=np.int32)
    strided = Trail(*(column[::2] for column in frozen))
    np.testing.assert_array_equal(read_user(strided, lanes, t, view), read_user(Trail.of(told), lanes, t, view))
    np.testing.assert_array_equal(read_pairs(strided, lanes, t, items[::2], view), read_pairs(Trail.of(told), lanes, t, items[::2].copy(), view))


def test_moments_at_the_ends_of_time_do_no_harm():
    lowest, highest = NO_TIME, np.iinfo(np.int64).max
    trail = Trail(np.zeros(3, np.int32), np.array([lowest, EPOCH, highest]), np.full(3, ENGAGED, np.uint8), np.zeros(3))
    lanes = lanes_from(1, *(np.empty(0, t) for t in (np.int32, np.int64, np.int32, np.int32, np.float32)), 0, 0)
    view = lookback((24, 168, 999_999 * 168), 500, HOUR)
    for t, n in ((lowest, 0), (EPOCH, 1), (highest, 2)):
        assert read_user(trail, lanes, t, view)[USER_VALUES.index("user_events")] == n
        assert read_pairs(trail, lanes, t, np.zeros(1, np.int32), view)[0, 0] == n


NONE = kernel.Events(*NO_TRAIL[:4])
EMPTY = lanes_from(2, *(np.empty(0, t) for t in (np.int32, np.int64, np.int32, np.int32, np.float32)), 0, 0).versions
VIEW = lookback((1, 2, 3), 5, 0)
PTR, TIMES, LANES = np.array([0, 1, 2], np.int64), np.zeros(2, np.int64), np.zeros((2, 4), np.int32)
ARENA = kernel.Arena(np.array([3], np.int64), np.array([4], np.int32), np.array([4], np.int32), NONE)
ROW = (np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(1, np.int64))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: kernel.read(NONE._replace(time=np.zeros(1, np.int64)), True, EMPTY, VIEW, 0, None), "time"),
        (lambda: kernel.read(NONE._replace(flags=np.zeros(0, np.int8)), True, EMPTY, VIEW, 0, None), "flags"),
        (lambda: kernel.read(NONE, True, EMPTY, VIEW, 0, np.zeros(1, np.int64)), "items"),
        (lambda: kernel.versions(PTR[:2], TIMES, LANES, 1, 1), "indptr"),
        (lambda: kernel.versions(PTR[1:], TIMES, LANES, 1, 1), "indptr"),
        (lambda: kernel.versions(np.array([0, 3, 2], np.int64), TIMES, LANES, 1, 1), "indptr"),
        (lambda: kernel.versions(PTR, TIMES[:1], LANES, 1, 1), "times"),
        (lambda: kernel.versions(PTR, TIMES, LANES[:, :3], 1, 1), "lanes"),
        (lambda: kernel.versions(PTR, TIMES, LANES, 0, 1), "category"),
        (lambda: kernel.versions(PTR, TIMES, LANES - 2, 1, 1), "category"),
        (lambda: kernel.versions(PTR, TIMES, LANES, 1, 0), "brand"),
        (lambda: lanes_from(1, np.ones(1, np.int32), *(np.zeros(1, t) for t in (np.int64, np.int32, np.int32, np.float32)), 1, 1), "item"),
        (lambda: lookback((0, 2, 3), 5, 0), "windows"),
        (lambda: lookback((1, 2, 3), 5, -1), "windows"),
        (lambda: kernel.read_rows(ARENA, True, EMPTY, VIEW, *ROW, np.zeros((29, 1), np.float32)), "start"),
        (lambda: kernel.read_rows(ARENA._replace(length=np.zeros(1, np.int32), start=np.zeros(1, np.int64)), True, EMPTY, VIEW, *ROW, np.zeros((1, 29), np.float32)), "out"),
        (lambda: kernel.insert(ARENA, 0, np.array([1], np.int32), NONE, 0), "users"),
        (lambda: kernel.insert(ARENA, 0, np.array([-1], np.int32), kernel.Events(*(np.zeros(1, c.dtype) for c in NONE)), 0), "users"),
        (lambda: lookback((1, 2, 3), 10_001, 0), "history"),
    ],
)
def test_a_wrong_argument_is_named(call, name):
    with pytest.raises(ShapeError, match=f"^{name}: expected"):
        call()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), LOOKS, st.booleans(), st.sampled_from([0, 1, 64, 65, 150]), st.integers(0, 127))
def test_pairs_that_are_wanted_are_those_of_a_table_and_nothing_else_is_written(seed, look, plain, n, wanted):
    rng = np.random.default_rng(seed)
    told, lanes, _ = shop(rng, plain=plain)
    trails, view, t = Trails.of(told, 4), lookback(*look), int(moments(rng, told, True, 1)[0])
    items = rng.integers(-1, 8, n).astype(np.int32)
    table, out = np.empty((WIDTH, n), np.float32), np.full((7, n), -7, np.float32)
    read_rows(trails, lanes, view, np.full(n, 2, np.int32), items, np.full(n, t), table)
    assert read_pairs(trails.of_user(2), lanes, t, items, view, out, wanted) is out
    for k in range(7):
        np.testing.assert_array_equal(out[k], table[22 + k] if wanted >> k & 1 else np.full(n, -7, np.float32))
    with pytest.raises(ShapeError, match="out"):
        read_pairs(trails.of_user(2), lanes, t, items, view, np.empty((7, n + 1), np.float32))
