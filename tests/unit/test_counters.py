"""Counters: trained sums plus live events come to what another training on all of them comes to, however they arrive."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.algorithms.popularity import Popularity
from recengine.algorithms.standing import DAY
from recengine.config import DEFAULT_EVENTS
from recengine.config import Popularity as PopularityConfig
from recengine.features.interaction import event_weights, interactions
from recengine.online import counters as module
from recengine.online.counters import Counters, Live, step_for
from recengine.retrieval.sources import Orders
from recengine.types import EventColumns, TrainingData
from tests.strategies import EPOCH, catalogue, communities, training_data
from tests.unit.test_interaction import part_of

TYPES = ("view", "purchase", "dislike", "ignore", "unlisted")
N_ITEMS = 12
N_USERS = 60


def columns(rows, first=0):
    """Rows of (user, item, type, day), in order of arrival; ordered as the fold has them."""
    table = np.array(rows, np.int64).reshape(-1, 4)
    seq = np.arange(first, first + len(table), dtype=np.int64)
    time = EPOCH + table[:, 3] * DAY + seq
    order = np.lexsort((seq, time, table[:, 0]))
    user, item, kind = table[order, 0].astype(np.int32), table[order, 1].astype(np.int32), table[order, 2].astype(np.int16)
    return EventColumns(seq[order], user, item, kind, np.full(len(table), np.nan, np.float32), time[order], TYPES)


def trained(events, n_items=N_ITEMS):
    matrix = interactions(events, event_weights(events, DEFAULT_EVENTS), N_USERS, n_items)
    data = TrainingData(matrix, catalogue(n_items), catalogue(N_USERS), int(events.time.max()))
    return Popularity(PopularityConfig()).fit(data)


def live_after(whole, cut, n_items=N_ITEMS):
    """Train on what comes up to `cut`; count the rest, one by one."""
    model = trained(part_of(whole, whole.seq <= cut), n_items)
    counters = Counters(DEFAULT_EVENTS)
    for seq in range(len(whole.seq)):
        counters.apply(part_of(whole, whole.seq == seq))
    return model, Live(model, counters, cut)


def same(left, right):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


positive = st.lists(st.tuples(st.integers(0, 5), st.integers(0, N_ITEMS - 1), st.sampled_from((0, 1, 3, 4)), st.integers(0, 99)), min_size=2, max_size=60)
any_kind = st.lists(st.tuples(st.integers(0, 5), st.integers(0, N_ITEMS + 3), st.integers(0, 4), st.integers(0, 99)), max_size=60)
SEED = [(0, 0, 1, 0), (1, 3, 0, 2)]


@given(positive, st.integers(0, 59))
def test_popular_is_what_a_training_on_all_events_says(rows, cut):
    whole = columns([*SEED, *rows])
    _, live = live_after(whole, cut + 1)
    again = trained(whole)
    now = live.now(N_ITEMS)
    np.testing.assert_array_equal(now.all_time, again._learned.all_time)
    everything = np.ones((1, N_ITEMS), np.uint8)
    np.testing.assert_array_equal(Orders(again, N_ITEMS, now).first(Orders.POPULAR, everything, N_ITEMS)[0], again.ranking("popular"))


def test_live_orders_without_live_events_are_the_trained_ones():
    data = communities()
    model = Popularity(PopularityConfig()).fit(data)
    n = data.interactions.n_items + 3
    live, bare = (Orders(model, n, standing) for standing in (Live(model, Counters(DEFAULT_EVENTS), 0).laid_out(n), None))
    assert live.rows == bare.rows
    for name in ("_indptr", "_items"):
        np.testing.assert_array_equal(getattr(live, name), getattr(bare, name))


def test_category_orders_follow_live_events():
    data = training_data([[(0, 4.0, EPOCH), (3, 2.0, EPOCH)], [(1, 1.0, EPOCH)]], 6)  # categories by turns: 0 and 3 are of one
    model = Popularity(PopularityConfig()).fit(data)
    counters = Counters(DEFAULT_EVENTS)
    counters.apply(columns([(k, 3, 1, 1) for k in range(70)], first=5))
    orders = Orders(model, 6, Live(model, counters, 4).laid_out(6))
    row = np.array([[orders.rows["a"]]], np.int32)
    assert orders.of_categories(row, np.ones((1, 6), np.uint8), 2).tolist() == [[3, 0]]


@given(positive, st.integers(0, 59))
def test_trending_is_what_a_training_on_all_events_says_where_nobody_comes_back(rows, cut):
    rows = [(user, item, kind, day) for user, (_, item, kind, day) in enumerate([*SEED, *rows][:N_USERS])]
    whole = columns(rows)
    _, live = live_after(whole, max(cut, 1))
    again = trained(whole)._learned
    now = live.now(N_ITEMS)
    np.testing.assert_allclose(now.trending, again.trending, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(now.scores, again.scores, rtol=1e-6, atol=1e-7)
    order, gap = np.argsort(-again.trending, kind="stable"), 1e-5
    found = now.trending[order]
    assert (found[1:] <= found[:-1] + gap).all()


@settings(max_examples=50)
@given(any_kind, st.lists(st.integers(1, 9), max_size=20), st.integers(1, 30))
def test_groups_questions_and_restarts_change_nothing_to_the_bit(rows, sizes, cut):
    whole = columns([*SEED, *rows])
    model, one_by_one = live_after(whole, cut, N_ITEMS if max((row[1] for row in rows[: cut - 1]), default=0) < N_ITEMS else N_ITEMS + 4)
    expected = one_by_one.now(N_ITEMS + 4)
    grouped, asked = Counters(DEFAULT_EVENTS), []
    live, start = Live(model, grouped, cut), 0
    for size in [*sizes, len(whole.seq)]:
        grouped.apply(part_of(whole, (whole.seq >= start) & (whole.seq < start + size)))
        start += size
        found = live.now(N_ITEMS + 4)
        asked.append((found, [column.copy() for column in found]))
    same(live.now(N_ITEMS + 4), expected)
    for found, copies in asked:
        same(found, copies)  # what a reader holds never changes
    restarted = Counters(DEFAULT_EVENTS)
    restarted.restart(whole, int(whole.seq.max()))
    same(Live(model, restarted, cut).now(N_ITEMS + 4), expected)
    grouped.apply(whole)
    same(live.now(N_ITEMS + 4), expected)  # counted already


def test_only_what_is_positive_and_later_counts():
    whole = columns([*SEED, (2, 5, 1, 3), (2, 7, 2, 3), (2, 8, 3, 3), (3, N_ITEMS + 1, 1, 3)])
    model, live = live_after(whole, 1)
    counts = np.expm1(live.now(N_ITEMS).all_time.astype(float) * np.log1p(10))
    assert counts == pytest.approx([10, 0, 0, 0.5, 0, 10, 0, 0, 0, 0, 0, 0, 0, 10], abs=1e-4)
    assert live.now(N_ITEMS) is live.now(N_ITEMS)
    assert model.ranking("popular")[0] == 0


def test_a_wrong_moment_far_ahead_breaks_nothing():
    far = 4 * 10**18 // DAY - EPOCH // DAY
    _, live = live_after(columns([*SEED, (2, 5, 0, far), (2, 6, 0, 3)]), 1)
    now = live.now(N_ITEMS)
    assert np.isfinite(now.trending).all()
    assert now.trending[5] == 1.0
    assert now.all_time[5] == now.all_time[6]


def test_orders_are_laid_out_anew_at_marks_only_and_as_of_the_mark():
    rng = np.random.default_rng(3)
    step = step_for(N_ITEMS)
    rows = [*SEED, *((int(u), int(i), 1, 5) for u, i in zip(rng.integers(0, 9, 3 * step), rng.integers(0, N_ITEMS, 3 * step), strict=True))]
    whole = columns(rows)
    model = trained(part_of(whole, whole.seq <= 1))
    counters = Counters(DEFAULT_EVENTS)
    counters.apply(part_of(whole, whole.seq <= 1))
    live = Live(model, counters, 1)
    first = live.laid_out(N_ITEMS)
    same(first, live.now(N_ITEMS))
    np.testing.assert_array_equal(first.scores, model._learned.scores)
    seen = [first]
    for seq in range(2, len(rows)):
        counters.apply(part_of(whole, whole.seq == seq))
        found = live.laid_out(N_ITEMS)
        if (seq - 1) % step == 0:
            assert found is not seen[-1]
            same(found, live.now(N_ITEMS))
            seen.append(found)
        assert found is seen[-1]
    late = Counters(DEFAULT_EVENTS)
    late.restart(whole, int(whole.seq.max()))
    same(Live(model, late, 1).laid_out(N_ITEMS), seen[-1])  # a restart lays out what the running process did
    assert len(seen) == 4


def test_old_blocks_go_and_a_restart_keeps_the_same_ones(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 16)
    rng = np.random.default_rng(5)
    n = 300
    rows = [*SEED, *((int(u), int(i), int(k), 5) for u, i, k in zip(rng.integers(0, 9, n), rng.integers(0, N_ITEMS, n), rng.integers(0, 5, n), strict=True))]
    whole = columns(rows)
    model = trained(part_of(whole, whole.seq <= 1))
    counters = Counters(DEFAULT_EVENTS)
    live = Live(model, counters, 1)
    for seq in range(len(rows)):
        counters.apply(part_of(whole, whole.seq == seq))
        assert counters.log.n <= module.KEPT * 16
        late = Counters(DEFAULT_EVENTS)
        late.restart(part_of(whole, whole.seq <= seq), seq)
        same(Live(model, late, 1).now(N_ITEMS), live.now(N_ITEMS))
    first = (len(rows) - 1) // 16 * 16 - 48
    assert counters.log.rows["seq"][0] >= first
    same(Live(model, counters, first - 1).now(N_ITEMS), live.now(N_ITEMS))


def test_steps_are_powers_of_two_that_grow_with_the_catalogue():
    assert [step_for(n) for n in (0, 100, 2047, 2048, 41_000, 1_000_000)] == [64, 64, 64, 128, 2048, 32768]
