"""Events -> interactions: the definition, its event-by-event fold, and what users touched."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from recengine.config import DEFAULT_EVENTS, EventType
from recengine.features.interaction import (
    HIDES,
    SEEN,
    Meanings,
    event_bits,
    event_weights,
    extend,
    interactions,
    ratings,
    seen,
    type_bit,
)
from recengine.online.histories import NOTHING, Histories, extended, together
from recengine.store.homes import Forgotten
from recengine.types import EventColumns

TYPES = ("view", "purchase", "dislike", "ignore", "unlisted")


def columns(rows, types=TYPES):
    """Rows of (user, item, type) or (user, item, type, value), in order of arrival; time = position."""
    rows = [(*row, np.nan)[:4] for row in rows]
    n = len(rows)
    user, item, kind = (np.array([row[k] for row in rows], dtype) for k, dtype in enumerate((np.int32, np.int32, np.int16)))
    order = np.argsort(user, kind="stable")
    seq = np.arange(n, dtype=np.int64)
    value = np.array([row[3] for row in rows], np.float32)
    return EventColumns(seq[order], user[order], item[order], kind[order], value[order], seq[order] * 10, types)


def slowly(rows, rules=DEFAULT_EVENTS):
    """The definition, one event at a time: user -> list of (item, weight, time), oldest last event first."""
    weight = {rule.type: rule.weight for rule in rules}
    out = {}
    for at, (user, item, kind) in enumerate(rows):
        w = weight.get(TYPES[kind], 1.0)
        if w == 0:
            continue
        entries = out.setdefault(user, {})
        held = entries.pop(item, (0.0, 0))[0]
        entries[item] = (w if w < 0 else max(held, 0) + w, at * 10)
    return {user: [(item, w, t) for item, (w, t) in entries.items()] for user, entries in out.items()}


events = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, len(TYPES) - 1)), max_size=40)


@given(events)
def test_interactions_are_the_definition(rows):
    ev = columns(rows)
    got = interactions(ev, event_weights(ev, DEFAULT_EVENTS), 5, 6)
    expected = slowly(rows)
    assert got.indptr.dtype == np.int64
    assert len(got.indptr) == 6
    for user in range(5):
        lo, hi = got.indptr[user], got.indptr[user + 1]
        mine = list(zip(got.items[lo:hi].tolist(), got.weights[lo:hi].tolist(), got.times[lo:hi].tolist(), strict=True))
        assert mine == expected.get(user, [])


def part_of(whole, keep):
    return EventColumns(*(getattr(whole, f)[keep] for f in whole.__struct_fields__[:-1]), whole.types)


def same(left, right):
    for a, b in zip(left[:6], right[:6], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(rated_of(left), rated_of(right))


def rated_of(row):
    """The ratings of a history, made up where there are none."""
    return np.full(len(row.items), np.nan, np.float32) if row.values is None else row.values


@given(events, st.integers(0, 40))
def test_folding_events_later_gives_what_one_load_gives(rows, cut):
    whole = columns(rows)
    together = Histories(DEFAULT_EVENTS, whole, 5, 6)
    apart = Histories(DEFAULT_EVENTS, part_of(whole, whole.seq < cut), 5, 6)
    assert len(apart.apply(part_of(whole, whole.seq >= cut))) == 0, "nothing came late"
    for user in range(-1, 7):
        same(together.row(user), apart.row(user))


KINDS = ("view", "rating", "dislike", "ignore", "block", "unlisted")
rated = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(0, 5), st.integers(0, len(KINDS) - 1), st.one_of(st.just(np.nan), st.floats(0, 5, width=32))
    ),
    max_size=120,
)
CROWD = [(0, k % 3, 1, 2.6 + 2.3 * (0.618 * k % 1)) for k in range(240)]


@given(rated, st.lists(st.integers(1, 40), max_size=40))
@example(CROWD, [1] * 240)
@example(CROWD, [3, 30, 1, 40])
def test_groups_of_any_size_give_what_one_load_gives_to_the_bit(rows, sizes):
    """Ratings weigh fractions that binary numbers cannot hold, so the order of addition counts."""
    whole = columns(rows, KINDS)
    together = Histories(DEFAULT_EVENTS, whole, 3, 6)
    apart = Histories(DEFAULT_EVENTS, part_of(whole, whole.seq < 0), 0, 0)
    start = 0
    for size in [*sizes, len(rows)]:
        before = [(apart.row(user), [a.copy() for a in (*apart.row(user)[:5], rated_of(apart.row(user)))]) for user in range(3)]
        group = part_of(whole, (whole.seq >= start) & (whole.seq < start + size))
        assert len(apart.apply(group)) == 0
        start += size
        for row, copies in before:
            for a, b in zip((*row[:5], rated_of(row)), copies, strict=True):
                np.testing.assert_array_equal(a, b)  # what a reader holds never changes
    for user in range(4):
        same(together.row(user), apart.row(user))
        assert [a.dtype for a in together.row(user)[:5]] == [a.dtype for a in apart.row(user)[:5]]


@given(rated)
def test_one_event_means_what_it_means_among_others(rows):
    ev = columns(rows, KINDS)
    meanings = Meanings(KINDS, DEFAULT_EVENTS)
    weights, bits = event_weights(ev, DEFAULT_EVENTS).tolist(), event_bits(ev, DEFAULT_EVENTS).tolist()
    assert [meanings.of(int(t), v) for t, v in zip(ev.type, ev.value, strict=True)] == list(zip(weights, bits, strict=True))


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from((-1.0, 0.0, 0.3, 2.0)), st.integers(0, 9), st.sampled_from((np.nan, 1.0, 4.5))), max_size=30))
def test_a_history_extends_as_its_definition_says_early_and_late_alike(rows):
    row, entries, touched = NOTHING, {}, {}
    for seq, (item, weight, time, value) in enumerate(rows):
        exact = float(np.float32(weight))
        extend(entries, item, exact, time, value)
        touched[item] = touched.get(item, 0) | 1 << seq
        row = extended(row, item, exact, time, 1 << seq, seq, value)
        assert list(zip(row.items.tolist(), row.weights.tolist(), row.times.tolist(), strict=True)) == [(i, *e[:2]) for i, e in entries.items()]
        np.testing.assert_array_equal(rated_of(row), [e[2] for e in entries.values()])
        assert list(zip(row.touched.tolist(), row.bits.tolist(), strict=True)) == sorted(touched.items())
        assert row.last_seq == seq


@given(rated)
def test_the_value_of_a_pair_is_its_latest_rating_in_one_load_and_in_a_stack(rows):
    whole = columns(rows, KINDS)
    weights = event_weights(whole, DEFAULT_EVENTS)
    latest = {}
    for user, item, kind, value, weight in zip(whole.user, whole.item, whole.type, whole.value, weights, strict=True):
        if KINDS[kind] == "rating" and not np.isnan(value) and weight != 0:
            latest[int(user), int(item)] = value
    found = interactions(whole, weights, 3, 6, ratings(whole, DEFAULT_EVENTS))
    if not latest:
        assert found.values is None
    else:
        users = np.repeat(np.arange(3), np.diff(found.indptr))
        wanted = [latest.get((int(u), int(i)), np.nan) for u, i in zip(users, found.items, strict=True)]
        np.testing.assert_array_equal(found.values, np.array(wanted, np.float32))
    histories = Histories(DEFAULT_EVENTS, whole, 3, 6)
    stacked = histories.stack([histories.row(user) for user in range(3)], 100, 6)
    np.testing.assert_array_equal(rated_of(stacked), rated_of(found))
    alone = histories.stack([histories.row(1)], 2, 6)
    np.testing.assert_array_equal(rated_of(alone), rated_of(found)[: found.indptr[2]][found.indptr[1] :][-2:])
    np.testing.assert_array_equal(rated_of(together(histories.held(), 4, 6)), rated_of(found))


def test_a_value_of_a_type_without_a_scale_is_no_rating():
    ev = columns([(0, 0, 0, 3.0), (0, 1, 1, 4.0)], KINDS)
    assert interactions(ev, event_weights(ev, DEFAULT_EVENTS), 1, 2, ratings(ev, DEFAULT_EVENTS)).values.tolist()[1] == 4.0
    assert np.isnan(ratings(ev, DEFAULT_EVENTS)[0])


def test_new_types_are_learned_with_the_events_that_bring_them():
    histories = Histories(DEFAULT_EVENTS, columns([(0, 0, 0)], types=("view",)), 1, 3)
    histories.apply(columns([(0, 1, 1)], types=("view", "block")))
    assert histories.row(0).bits.tolist() == [SEEN | type_bit(0), SEEN | HIDES | type_bit(1)]
    assert histories.row(0).weights.tolist() == [0.5, -5.0]


def test_a_token_lives_as_long_as_nothing_happens_to_its_user():
    histories = Histories(DEFAULT_EVENTS, columns([(0, 0, 0), (1, 1, 0)]), 2, 4)
    base, other = histories.token(0), histories.token(1)
    assert base is histories.token(0)
    histories.apply(part_of(columns([(0, 2, 0)]), np.array([True])))
    first = histories.token(0)
    assert first is not base
    assert first is histories.token(0)
    assert histories.token(1) is other
    histories.apply(part_of(columns([(0, 2, 3)]), np.array([True])))  # an event that says nothing is one all the same
    assert histories.token(0) is not first


def test_a_forgotten_user_did_nothing():
    histories = Histories(DEFAULT_EVENTS, columns([(0, 0, 0), (1, 1, 0)]), 2, 4)
    before = histories.token(0)
    histories.forget(Forgotten(0, "u0"))
    assert histories.token(0) is not before
    same(histories.row(0), NOTHING)
    assert histories.row(1).items.tolist() == [1]


@given(events, st.integers(0, 40), st.integers(0, 2**16))
def test_late_events_are_reported_and_put_right_by_all_events_of_their_users(rows, cut, seed):
    whole = columns(rows)
    times = np.random.default_rng(seed).permutation(len(rows)).astype(np.int64)
    shuffled = EventColumns(whole.seq, whole.user, whole.item, whole.type, whole.value, times[whole.seq], whole.types)
    order = np.lexsort((shuffled.seq, shuffled.time, shuffled.user))
    shuffled = part_of(shuffled, order)
    together = Histories(DEFAULT_EVENTS, shuffled, 5, 6)
    apart = Histories(DEFAULT_EVENTS, part_of(shuffled, shuffled.seq < cut), 5, 6)
    late = apart.apply(part_of(shuffled, shuffled.seq >= cut))
    apart.replace(part_of(shuffled, np.isin(shuffled.user, late)))
    for user in range(5):
        same(together.row(user), apart.row(user))


@given(events)
def test_touched_items_carry_the_types_that_touched_them(rows):
    ev = columns(rows)
    indptr, items, bits = seen(ev, event_bits(ev, DEFAULT_EVENTS), 5, 6)
    for user in range(5):
        mine = dict(zip(items[indptr[user] : indptr[user + 1]].tolist(), bits[indptr[user] : indptr[user + 1]].tolist(), strict=True))
        expected = {}
        for u, item, kind in rows:
            if u == user:
                expected[item] = expected.get(item, 0) | type_bit(kind) | (0 if TYPES[kind] == "ignore" else SEEN)
        assert mine == expected


def test_a_rating_counts_by_its_distance_from_neutral():
    rules = (EventType(type="rating", weight=2.0, value_neutral=2.5, value_full=5.0),)
    ev = columns([(0, 0, 0, 5.0), (0, 1, 0, 2.5), (0, 2, 0, 0.0), (0, 3, 0, np.nan), (0, 4, 0, 99.0)], types=("rating",))
    assert event_weights(ev, rules).tolist() == [2.0, 0.0, -2.0, 2.0, 2.0]


def test_an_unlisted_type_counts_one():
    assert event_weights(columns([(0, 0, 4)]), DEFAULT_EVENTS).tolist() == [1.0]


def test_a_late_event_adds_but_never_overturns_a_later_opinion():
    entries = {}
    extend(entries, 1, 2.0, 100)
    extend(entries, 1, 3.0, 50)
    assert entries[1][:2] == (5.0, 100)
    extend(entries, 1, -1.0, 200)
    extend(entries, 1, 4.0, 150)
    assert entries[1][:2] == (-1.0, 200)


def test_behaviour_is_exact_for_any_number_of_types():
    names = (*(f"t{k}" for k in range(70)), "ignore", "block")
    ev = columns([(0, 0, 70), (0, 1, 71), (0, 2, 69), (0, 3, 5)], types=names)
    bits = event_bits(ev, DEFAULT_EVENTS).tolist()
    assert bits == [0, SEEN | HIDES, SEEN, SEEN | type_bit(5)]


def test_a_batch_of_histories_is_its_rows():
    histories = Histories(DEFAULT_EVENTS, columns([(0, 0, 0), (0, 1, 1), (2, 3, 1), (0, 2, 1)]), 3, 5)
    batch = histories.stack([histories.row(user) for user in (2, -1, 0)], 2, 5)
    assert batch.indptr.tolist() == [0, 1, 1, 3]
    assert batch.items.tolist() == [3, 1, 2]
    assert histories.stack([histories.row(0)], 2, 5).items.tolist() == [1, 2]
    assert histories.stack([histories.row(1)], 2, 5).indptr.tolist() == [0, 0]
    assert histories.stack([], 2, 5).n_users == 0
