"""Trails and lanes as the two spines use them: made at once, grown, forgotten; nothing of the future in a row."""

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.config import Config
from recengine.errors import ShapeError
from recengine.features.counted import PAIR, SESSION, USER
from recengine.features.lanes import coded, lanes_from, lanes_of
from recengine.features.pairs import PAIR_VALUES, read_pairs
from recengine.features.session import SESSION_VALUES
from recengine.features.signals import CONVERTED, ENGAGED, VIEWED, Signals
from recengine.features.trails import NO_TRAIL, Trail, Trails, lookback, lookback_of, read_rows
from recengine.features.user import USER_VALUES, read_user
from recengine.kernels import trails as kernel
from recengine.types import NO_TIME, Column
from tests.strategies import EPOCH, catalogue
from tests.unit.test_trails_kernel import FLAGS, WIDTH, shop

HOUR = 3_600_000_000
VIEW = lookback((24, 168, 720), 500, HOUR // 2)
NO_LANES = lanes_from(0, *(np.empty(0, t) for t in (np.int32, np.int64, np.int32, np.int32, np.float32)), 0, 0)


def signals(*rows):
    """Rows of (user, item, time, flags, amount)."""
    columns = zip(*rows, strict=True) if rows else ((),) * 5
    return Signals(*(np.array(list(c), t) for c, t in zip(columns, (np.int32, np.int32, np.int64, np.uint8, np.float64), strict=True)))


def user_value(trail, t, name, lanes=NO_LANES):
    return read_user(trail, lanes, t, VIEW)[(*USER_VALUES, *SESSION_VALUES).index(name)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1, 5, 500]))
def test_events_and_versions_from_t_on_change_no_row_as_of_t(seed, history):
    rng = np.random.default_rng(seed)
    view = lookback((24, 168, 720), history, HOUR)
    told, lanes, versions = shop(rng, span=20 * 24 * HOUR)
    m = 20
    users, items = rng.integers(0, 4, m).astype(np.int32), rng.integers(0, 6, m).astype(np.int32)
    times = (EPOCH + rng.integers(0, 20 * 24, m) * HOUR).astype(np.int64)
    cut = int(times.max())
    before, after = np.empty((WIDTH, m), np.float32), np.empty((WIDTH, m), np.float32)
    past = told.take(np.flatnonzero(told.time < cut))
    read_rows(Trails.of(past, 4), lanes, view, users, items, times, before)
    future = Signals(*(rng.integers(0, high, 200).astype(c.dtype) for high, c in zip((4, 6, 5, 2, 9), told, strict=True)))
    future = future._replace(flags=rng.choice(np.array(FLAGS, np.uint8), 200), time=cut + future.time * HOUR)
    grown = Trails.of(past, 4)
    grown.apply(future)
    rows = [(item, *row) for item, own in versions.items() for row in own]
    rows += [(item, cut + 1 + k, 2, 1, 3.0) for item in versions for k in range(2)]
    columns = [np.array([r[k] for r in rows], t) for k, t in enumerate((np.int32, np.int64, np.int32, np.int32, np.float32))]
    read_rows(grown, lanes_from(6, *columns, 3, 2), view, users, items, times, after)
    np.testing.assert_array_equal(before.view(np.int32), after.view(np.int32))


def test_an_event_of_the_moment_asked_for_is_not_seen_and_a_version_of_that_moment_is():
    lanes = lanes_from(1, *(np.array([x], t) for x, t in ((0, np.int32), (EPOCH, np.int64), (1, np.int32), (0, np.int32), (8, np.float32))), 2, 1)
    trail = Trail.of(signals((0, 0, EPOCH - 1, ENGAGED, 0), (0, 0, EPOCH, ENGAGED, 0)))
    assert user_value(trail, EPOCH, "user_events", lanes) == 1
    assert user_value(trail, EPOCH, "user_price", lanes) == 8
    assert np.isnan(user_value(trail, EPOCH - 1, "user_price", lanes))
    assert read_pairs(trail, lanes, EPOCH, np.zeros(1, np.int32), VIEW)[:, 0].tolist()[2:4] == [1, 1]


def test_a_window_holds_its_hours_with_that_of_the_moment():
    base = EPOCH - EPOCH % HOUR
    trail = Trail.of(signals((0, 0, base - 23 * HOUR - 1, ENGAGED, 0), (0, 0, base - 23 * HOUR, ENGAGED | CONVERTED, 2048), (0, 1, base, ENGAGED, 0)))
    t = base + HOUR - 1
    assert user_value(trail, t, "user_events_{w1}") == 2
    assert user_value(trail, t, "user_events_{w2}") == 3
    assert user_value(trail, t, "user_spend_{w3}") == 2
    assert user_value(trail, t + 1, "user_events_{w1}") == 1


def test_a_visit_ends_when_nothing_comes_for_its_length():
    trail = Trail.of(signals((0, 0, EPOCH - 3 * HOUR, ENGAGED, 0), (0, 1, EPOCH - HOUR, ENGAGED | VIEWED, 0), (0, 1, EPOCH - HOUR // 2, ENGAGED | CONVERTED, 0)))
    def session(t):
        return read_user(trail, NO_LANES, t, VIEW)[len(USER_VALUES) :].tolist()

    assert session(EPOCH) == [1, 1, 0, 1, 2]
    assert session(EPOCH + 1) == [0, 0, 0, 0, 0]
    assert user_value(trail, EPOCH, "user_bounce") == 0.5


def test_one_who_did_nothing_has_counts_of_nothing_and_no_shares():
    own = dict(zip((*USER_VALUES, *SESSION_VALUES), read_user(NO_TRAIL, NO_LANES, EPOCH, VIEW).tolist(), strict=True))
    zero = {"user_events_{w1}", "user_events_{w2}", "user_events_{w3}", "user_events", "user_spend_{w3}", "user_spend", *SESSION_VALUES}
    assert {name for name, value in own.items() if value == 0} == zero
    assert all(np.isnan(value) for name, value in own.items() if name not in zero)


def test_an_order_that_is_no_time_leaves_what_needs_time_missing():
    trail = Trail.of(signals((0, 0, 1, ENGAGED | CONVERTED, 1024), (0, 0, 2, ENGAGED, 0)))
    own = dict(zip((*USER_VALUES, *SESSION_VALUES), read_user(trail, NO_LANES, EPOCH, VIEW).tolist(), strict=True))
    assert {name for name, value in own.items() if not np.isnan(value)} == {"user_events", "user_spend", "user_conversion"}
    pairs = dict(zip(PAIR_VALUES, read_pairs(trail, NO_LANES, EPOCH, np.zeros(1, np.int32), VIEW)[:, 0].tolist(), strict=True))
    assert pairs["pair_events"] == 2
    assert np.isnan(pairs["pair_idle"])


def test_what_was_forgotten_is_returned_and_in_no_array_any_more():
    trails = Trails()
    for k in range(50):
        trails.apply(signals((1, 7_654_321, EPOCH - k, ENGAGED, 5), (2, 8, EPOCH + k, ENGAGED, 6)))  # all late: many copies
    taken = trails.forget(1)
    assert (len(taken.user), set(taken.user.tolist()), set(taken.item.tolist())) == (50, {1}, {7_654_321})
    gc.collect()
    assert 7_654_321 not in trails.arena.events.item[: trails._end]
    assert len(trails.of_user(1).item) == 0
    assert trails.of_user(2).time.tolist() == [EPOCH + k for k in range(50)]
    assert len(trails.forget(99).item) == 0
    trails.apply(signals((1, 3, EPOCH, ENGAGED, 0)))
    assert trails.of_user(1).item.tolist() == [3]


@pytest.mark.parametrize("many", [40, 2000])
def test_many_late_events_of_a_user_are_merged_at_once_as_if_one_by_one(many):
    rng = np.random.default_rng(many)
    n = 3000

    def told(of, m):
        return Signals(np.full(m, 2, np.int32), (of + np.arange(m)).astype(np.int32), EPOCH + rng.integers(0, 500, m), np.ones(m, np.uint8), np.arange(m, dtype=float))

    early, late = told(0, n), told(10_000, many)
    late.user[::7] = 5  # others between them
    trails, single = Trails(), Trails()
    for grown in (trails, single):
        grown.apply(early)
    room = trails._end
    trails.apply(late)
    for k in range(many):
        single.apply(late.take(slice(k, k + 1)))
    for user in (2, 5):
        for column, other in zip(trails.of_user(user)[:4], single.of_user(user)[:4], strict=True):
            np.testing.assert_array_equal(column, other)
    both = np.concatenate((early.time, late.time[late.user == 2]))
    np.testing.assert_array_equal(trails.of_user(2).time, np.sort(both))
    assert trails._end - room < 3 * (n + many), "one copy of the trail, not one an event"


def test_columns_that_may_not_be_written_to_are_taken_and_events_added():
    told = signals((0, 1, EPOCH, ENGAGED, 0), (0, 2, EPOCH + 2, ENGAGED, 0))
    for column in told:
        column.flags.writeable = False
    trails = Trails.of(told, 1)
    trails.apply(signals((0, 3, EPOCH + 1, ENGAGED, 0), (5, 4, EPOCH, ENGAGED, 0)))
    assert trails.of_user(0).item.tolist() == [1, 3, 2]
    assert trails.of_user(5).item.tolist() == [4]


def test_a_refused_batch_changes_nothing():
    trails = Trails()
    trails.apply(signals((0, 1, EPOCH, ENGAGED, 0)))
    with pytest.raises(ShapeError):
        trails.apply(signals((0, 1, EPOCH, ENGAGED, 0), (-1, 1, EPOCH, ENGAGED, 0)))
    assert len(trails.of_user(0).item) == 1


@pytest.mark.parametrize("rows", [[(1, 0, 5, 1, 0), (0, 0, 5, 1, 0)], [(0, 0, 5, 1, 0), (0, 0, 4, 1, 0)], [(2, 0, 5, 1, 0)], [(-1, 0, 5, 1, 0)]])
def test_signals_out_of_order_make_no_trails(rows):
    with pytest.raises(ShapeError, match="order by user and time"):
        Trails.of(signals(*rows), 2)


def test_memory_is_that_of_the_events_and_stays_bounded_as_they_come():
    rng = np.random.default_rng(0)
    n = 20_000
    told = Signals(rng.integers(0, 500, n).astype(np.int32), np.zeros(n, np.int32), EPOCH + rng.permutation(n), np.ones(n, np.uint8), np.zeros(n))
    assert Trails.of(told.take(np.lexsort((told.time, told.user))), 500).memory == n * 21 + 500 * 16
    trails = Trails()
    for k in range(0, n, 100):
        trails.apply(told.take(slice(k, k + 100)))
    assert trails.memory < 3 * n * 21


def test_lanes_of_a_catalogue_are_its_first_labels_and_finite_prices():
    columns = {
        "kind": Column("strings", np.array([1, 0, 1], np.int32), ("b", "a"), np.array([0, 2, 2, 3], np.int64)),
        "brand": Column("string", np.array([0, -1, 1], np.int32), ("x", "new")),
        "price": Column("number", np.array([3.5, np.nan, 1e300])),
    }
    labels = {"item.category": ("a", "b"), "item.brand": ("x",)}
    lanes = lanes_of(catalogue(3, columns), labels, category="kind", brand="brand", price="price")
    assert (lanes.category.tolist(), lanes.brand.tolist()) == ([0, -1, 0], [0, -1, -1])
    np.testing.assert_array_equal(lanes.price, np.array([3.5, np.nan, np.nan], np.float32))
    assert (lanes.times == NO_TIME).all()
    assert (lanes.n_categories, lanes.n_brands) == (2, 1)
    none = lanes_of(catalogue(3, columns), labels, category="absent", brand="price", price="kind")
    assert none.category.tolist() == none.brand.tolist() == [-1] * 3
    assert np.isnan(none.price).all()
    assert coded(columns["brand"], ("new", "x"), 2).tolist() == [1, -1]


def test_the_last_of_two_versions_of_one_moment_counts_in_whatever_order_items_come():
    item, time = np.array([1, 0, 1, 1], np.int32), np.array([9, 5, 5, 9], np.int64)
    code = np.array([0, 1, 2, 3], np.int32)
    lanes = lanes_from(2, item, time, code, code, code.astype(np.float32), 4, 4)
    assert (lanes.indptr.tolist(), lanes.category.tolist()) == ([0, 1, 4], [1, 2, 0, 3])


def test_names_are_those_of_the_definitions_and_as_many_as_the_kernel_has():
    assert tuple(line.value for line in USER) == USER_VALUES
    assert tuple(line.value for line in SESSION) == SESSION_VALUES
    assert tuple(line.value for line in PAIR)[: len(PAIR_VALUES)] == PAIR_VALUES
    assert (len(USER_VALUES), len(SESSION_VALUES), len(PAIR_VALUES)) == (kernel.USER, kernel.SESSION, kernel.PAIR)


def test_the_lookback_of_a_configuration_is_its_windows_and_visits():
    base = EPOCH - EPOCH % HOUR
    trail = Trail.of(signals((0, 0, base - 23 * HOUR, ENGAGED, 0), (0, 0, base - HOUR // 2, ENGAGED, 0)))
    own = read_user(trail, NO_LANES, base, lookback_of(Config()))
    assert own[:3].tolist() == [2, 2, 2]
    assert own[-1] == 1
