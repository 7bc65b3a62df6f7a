"""Co-visits of events: which pairs they make, and that live and offline values agree at every moment."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.features.covisits import COVISIT_VALUES, SPAN, Covisits, anchors_of, covisits_of, pairs_of, sweep
from recengine.features.signals import ENGAGED, REJECTED, VIEWED, Signals

NOW = 1_700_000_000_000_000


def pairs(items, **wishes):
    later, earlier = pairs_of(np.array(items, np.int32), **wishes)
    assert later.dtype == earlier.dtype == np.int32
    return sorted(zip(later.tolist(), earlier.tolist(), strict=True))


@pytest.mark.parametrize(
    ("items", "made"),
    [
        ([], []),
        ([4], []),
        ([4, 5], [(5, 4)]),
        ([4, 4], []),
        ([1, 2, 3, 4], [(2, 1), (3, 1), (3, 2), (4, 2), (4, 3)]),
        ([1, 2, 1], [(1, 2), (2, 1)]),
        ([1, 1, 2], [(2, 1), (2, 1)]),
    ],
)
def test_an_event_is_paired_with_the_two_before_it(items, made):
    assert pairs(items) == made


@given(st.lists(st.integers(0, 4), max_size=12), st.integers(0, 13))
def test_what_events_at_the_end_add_is_what_was_not_there_before(items, since):
    before, added = pairs(items[:since]), pairs(items, since=since)
    assert sorted(before + added) == pairs(items)
    tail = max(min(since, len(items)) - SPAN, 0)
    assert pairs(items[tail:], since=since - tail) == added  # so many before them are enough


def test_users_are_not_paired_with_one_another():
    users = np.array([0, 0, 1, 1, 2], np.int32)
    assert pairs([1, 2, 3, 4, 5], users=users) == [(2, 1), (4, 3)]


@pytest.mark.parametrize(("items", "n", "anchors"), [([], 3, []), ([1], 3, [1]), ([1, 2, 3, 2], 3, [2, 3]), ([1, 2, 3, 2], 9, [2, 3, 1])])
def test_anchors_are_the_last_items_each_once(items, n, anchors):
    assert anchors_of(np.array(items, np.int32), n).tolist() == anchors


@st.composite
def histories(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, moments = draw(st.integers(0, 60)), draw(st.sampled_from([1, 8, 1000]))
    order = draw(st.sampled_from([0, NOW]))
    events = Signals(
        rng.integers(0, 4, n).astype(np.int32),
        rng.integers(0, 9, n).astype(np.int32),
        np.sort(order + rng.integers(0, moments, n)),
        rng.choice([ENGAGED, ENGAGED | VIEWED, REJECTED, 0], n, p=[0.6, 0.2, 0.1, 0.1]).astype(np.uint8),
        np.zeros(n),
    )
    return rng, events.take(np.argsort(events.user, kind="stable")), order + moments


@given(histories())
def test_a_value_as_of_a_moment_is_what_was_counted_until_then_and_later_events_never_change_it(drawn):
    rng, events, end = drawn
    items, users = rng.integers(0, 9, 12).astype(np.int32), rng.integers(-1, 5, 12).astype(np.int32)
    times = rng.integers(events.time.min(initial=end), end + 2, 12)
    got = np.empty((len(COVISIT_VALUES), 12), np.float32)
    sweep(events, items, users, times, 3, got)
    shuffled = np.argsort(events.time, kind="stable")  # by moment instead of by user
    again = np.empty(12, np.float32)
    sweep(events.take(shuffled), items, users, times, 3, again)
    np.testing.assert_array_equal(again, got[0])
    for probe in range(12):
        past = events.take(np.flatnonzero(events.time < times[probe]))
        own = past.item[(past.user == users[probe]) & (past.flags & ENGAGED > 0)]
        value = covisits_of(past, 9).strength(anchors_of(own, 3), items[probe : probe + 1])
        assert value[0] == got[0, probe]


@given(histories())
def test_a_user_who_is_forgotten_leaves_the_counts_of_the_others(drawn):
    _, events, _ = drawn
    counts = covisits_of(events, 9)
    mine = (events.user == 1) & (events.flags & ENGAGED > 0)
    counts.add(*pairs_of(events.item[mine]), -1)
    others = covisits_of(events.take(np.flatnonzero(events.user != 1)), 9)
    for item in range(9):
        for left, right in zip(counts.counts(item), others.counts(item), strict=True):
            np.testing.assert_array_equal(left, right)


def test_events_counted_one_by_one_give_what_a_whole_history_gives():
    rng = np.random.default_rng(2)
    items = rng.integers(0, 30, 300).astype(np.int32)
    live = Covisits()
    for event in range(len(items)):
        first = max(event - SPAN, 0)
        live.add(*pairs_of(items[first : event + 1], since=event - first))
    whole = covisits_of(Signals(np.zeros(300, np.int32), items, np.arange(300), np.full(300, ENGAGED, np.uint8), np.zeros(300)), 0)
    every = np.arange(30, dtype=np.int32)
    np.testing.assert_array_equal(live.strength(every[:5], every), whole.strength(every[:5], every))
