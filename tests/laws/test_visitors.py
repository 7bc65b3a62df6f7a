"""Laws of visitors without a name: what they tell and what their session did count as if they were users who did it."""

import msgspec
import numpy as np
import pytest

from recengine.config import Config
from recengine.online.context import PERSONALISATION
from recengine.online.counters import step_for
from recengine.online.frames import EventsFrame
from recengine.online.recommender import Recommender
from recengine.online.state import State
from recengine.store.vocab import Vocabularies, Vocabulary
from recengine.types import EventColumns, Request, SessionEvent
from tests.laws.world import CATEGORIES, N_ITEMS, N_USERS, TYPES, patient, world

NOW = 4_000_000_000_000_000
"""After everything; requests ask at the clock's time, which is before, so that no session of it is over."""


def told(rng, n):
    return tuple(
        SessionEvent(item_id=f"i{rng.integers(N_ITEMS)}", type=str(rng.choice(TYPES, p=(0.5, 0.3, 0.1, 0.05, 0.05))))
        for _ in range(n)
    )


def stored(events, user, first_seq):
    n = len(events)
    return EventColumns(
        np.arange(first_seq, first_seq + n, dtype=np.int64),
        np.full(n, user, np.int32),
        np.array([int(e.item_id[1:]) for e in events], np.int32),
        np.array([TYPES.index(e.type) for e in events], np.int16),
        np.array([np.nan if e.value is None else e.value for e in events], np.float32),
        NOW + np.arange(n, dtype=np.int64),
        TYPES,
    )


def living(shop, users=()):
    """Return a state of its own over the same shop, and a recommender over it."""
    names = Vocabulary([*(f"u{k}" for k in range(N_USERS)), *users])
    ids = Vocabularies(names, shop.items, Vocabulary(shop.events.types))
    state = State(shop.config, ids, shop.state.items, shop.state.users, frozenset())
    state.apply(-1, EventsFrame(shop.events, N_USERS, N_ITEMS, "timestamp", int(shop.events.seq.max()), whole=True))
    return state, Recommender(shop.recommender.deployment, state, names, shop.items, shop.config)


def reply_of(recommender, request):
    (reply,), _ = recommender.recommend([request])
    return msgspec.structs.replace(reply, request_id="", user_id=None)


@pytest.mark.parametrize("seed", range(12))
def test_told_recorded_and_in_session_come_to_the_same(seed):
    rng = np.random.default_rng(seed)
    shop = world(seed % 3)
    events = told(rng, int(rng.integers(1, 30)))
    state, recommender = living(shop, users=("visitor",))
    first = int(shop.events.seq.max()) + 1
    anonymous = reply_of(recommender, Request(n=20, events=events, explain=True))
    columns = stored(events, N_USERS, first)
    state.apply(first + len(events), EventsFrame(columns, N_USERS + 1, N_ITEMS, "timestamp", int(columns.seq.max())))
    state.sessions.apply(["s1"] * len(events), columns)
    known = reply_of(recommender, Request(user_id="visitor", n=20, explain=True))
    assert anonymous == known
    assert reply_of(recommender, Request(session_id="s1", n=20, explain=True)) == known
    assert reply_of(recommender, Request(user_id="nobody", session_id="s1", n=20, explain=True)) == known
    assert reply_of(recommender, Request(user_id="u1", session_id="s1", n=20)) == reply_of(
        recommender, Request(user_id="u1", n=20)
    )


def test_told_events_come_after_what_the_session_and_the_user_did():
    shop = world()
    state, recommender = living(shop)
    events = told(np.random.default_rng(5), 8)
    first = int(shop.events.seq.max()) + 1
    state.sessions.apply(["s1"] * 4, stored(events[:4], 7, first))
    whole = reply_of(recommender, Request(n=20, events=events))
    assert reply_of(recommender, Request(session_id="s1", n=20, events=events[4:])) == whole

    user = reply_of(recommender, Request(user_id="u1", n=20, events=events))
    state.apply(
        first + 8, EventsFrame(stored(events, 1, first), N_USERS, N_ITEMS, "timestamp", first + len(events) - 1)
    )
    assert reply_of(recommender, Request(user_id="u1", n=20)) == user


def test_visitors_of_a_kind_are_warm_changed_and_leave_no_trace():
    shop = world()
    state, recommender = living(shop)
    before = state.histories.row(1)
    events = tuple(SessionEvent(item_id=f"i{k}", type="purchase") for k in range(6))
    (cold, warm), _ = recommender.recommend([Request(), Request(events=events)])
    assert cold.cold
    assert not warm.cold
    for request in (Request(events=events), Request(user_id="u1", events=events)):
        assert recommender.query(request).changed.tolist() == [1]
    assert recommender.query(Request(user_id="u1")).changed.tolist() == [0]
    assert len(state.sessions) == 0
    for left, right in zip(before, state.histories.row(1), strict=True):
        np.testing.assert_array_equal(left, right)


def test_unknown_items_and_types_that_are_told():
    shop = world()
    recommender = shop.recommender
    events = (SessionEvent(item_id="gone"), SessionEvent(item_id="i3", type="stare"), SessionEvent(item_id="lost"))
    (plain, noted), _ = recommender.recommend([Request(), Request(events=events)])
    assert plain.degraded == ()
    assert noted.degraded == ("events:unknown_items:2",)
    history = recommender.query(Request(events=events)).history
    assert history.items.tolist() == [3]
    assert history.weights.tolist() == [1.0], "an unlisted type weighs 1"


def test_a_type_that_was_never_stored_counts_as_configured_and_a_rating_by_its_value():
    shop = world()
    events = tuple(
        SessionEvent(item_id=item, type=kind, value=value)
        for item, kind, value in (("i1", "cart", None), ("i2", "rating", 5.0), ("i3", "rating", 0.0))
    )
    history = shop.recommender.query(Request(events=events)).history
    assert history.weights.tolist() == [4.0, 2.0, -2.0]


def test_a_session_that_is_over_is_no_longer_asked():
    shop = world(config=msgspec.structs.replace(Config(), model=patient(Config().model)))
    state, recommender = living(shop)
    events = stored(told(np.random.default_rng(1), 8), 3, 10_000)
    old = msgspec.structs.replace(events, time=events.time - NOW + 1_700_000_000_000_000)
    state.sessions.apply(["s1"] * 8, old)
    (reply,), _ = recommender.recommend([Request(session_id="s1")])
    assert reply.cold


def test_candidates_of_everybody_follow_what_everybody_does():
    """Lists follow each event; the orders that requests walk, and so the pool, follow at the next mark."""
    shop = world()
    state, recommender = living(shop)
    items = state.items
    first = int(shop.events.seq.max()) + 1
    least = int(recommender.lists.ranking("popular", N_ITEMS, None)[0][-1])
    rush = told(np.random.default_rng(2), step_for(N_ITEMS))
    rush = tuple(msgspec.structs.replace(event, item_id=f"i{least}", type="purchase") for event in rush)
    orders, _ = recommender.candidates._laid_out(items)
    state.apply(first, EventsFrame(stored(rush[:-1], 3, first), N_USERS, N_ITEMS, "timestamp", first + len(rush) - 2))
    assert recommender.lists.ranking("popular", 1, None)[0].tolist() == [least]
    assert recommender.lists.ranking("trending", 1, None)[0].tolist() == [least]
    assert recommender.candidates._laid_out(items)[0] is orders
    last = first + len(rush) - 1
    state.apply(last, EventsFrame(stored(rush[-1:], 3, last), N_USERS, N_ITEMS, "timestamp", last))
    orders, _ = recommender.candidates._laid_out(items)
    for order in (orders.POPULAR, orders.TRENDING):
        assert orders.first(order, items.available[None], 1).tolist() == [[least]]
    label = CATEGORIES[items.columns["category"].data[least]]
    assert recommender.lists.ranking("popular", 1, label)[0].tolist() == [least]
    row = np.array([[orders.rows[label]]], np.int32)
    assert orders.of_categories(row, items.available[None], 1).tolist() == [[least]]


def test_who_does_not_allow_it_is_known_neither_by_session_nor_by_what_is_told():
    shop = world()
    state, recommender = living(shop, users=("visitor",))
    events = told(np.random.default_rng(5), 8)
    state.sessions.apply(["s1"] * 8, stored(events, 7, int(shop.events.seq.max()) + 1))
    nobody = reply_of(recommender, Request(n=20))
    assert reply_of(recommender, Request(session_id="s1", n=20)) != nobody
    state.refused = frozenset(((7, PERSONALISATION),))
    assert reply_of(recommender, Request(session_id="s1", n=20)) == nobody
    assert reply_of(recommender, Request(user_id="u7", session_id="s1", n=20)) == nobody
    noted = reply_of(recommender, Request(user_id="u7", n=20, events=events))
    assert noted.degraded == ("events:not_allowed",)
    assert noted.items == nobody.items
    assert reply_of(recommender, Request(user_id="nobody", n=20, events=events)).items != nobody.items
