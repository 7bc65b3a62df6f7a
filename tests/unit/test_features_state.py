"""What features count live is what they count from all events at once, whatever the order in which these came."""

from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine.config import Config
from recengine.features import state as module
from recengine.features.covisits import COVISIT_VALUES, sweep
from recengine.features.item import ITEM_VALUES
from recengine.features.signals import signals
from recengine.features.state import EventState
from recengine.features.trails import Trails
from recengine.store.homes import Forgotten
from recengine.types import NO_TIME, EventColumns

CONFIG = Config()
TYPES = ("view", "purchase", "rating", "ignore", "dislike")
T0, HOUR = 1_760_000_000_000_000, 3_600_000_000
N_USERS, N_ITEMS = 6, 9
LATER = T0 + 400 * HOUR


def columns(rows):
    """Events as the store gives them: ordered by user, time and number."""
    rows = sorted(rows, key=lambda row: (row[1], row[5], row[0]))
    seq, user, item, kind, value, time = zip(*rows, strict=True) if rows else ((),) * 6
    return EventColumns(
        np.array(seq, np.int64),
        np.array(user, np.int32),
        np.array(item, np.int32),
        np.array(kind, np.int16),
        np.array(value, np.float32),
        np.array(time, np.int64),
        TYPES,
    )


happened = st.lists(
    st.tuples(
        st.integers(0, N_USERS - 1),
        st.integers(0, N_ITEMS - 1),
        st.integers(0, len(TYPES) - 1),
        st.sampled_from([np.nan, 1.0, 4.5]),
        st.integers(0, 300).map(lambda hours: T0 + hours * HOUR // 2),
    ),
    max_size=40,
)


def numbered(events):
    return [(seq, *event) for seq, event in enumerate(events)]


def seen(state):
    """All that can be read of it."""
    state.settled()
    values = np.empty((len(ITEM_VALUES), N_ITEMS), np.float32)
    since = np.full(N_ITEMS, NO_TIME, np.int64)
    state.tallies.read(np.arange(N_ITEMS, dtype=np.int32), LATER, since, values)
    trails = [[column.tolist() for column in state.trails.of_user(user)[:4]] for user in range(N_USERS)]
    return values.tobytes(), trails, [[side.tolist() for side in state.covisits.counts(i)] for i in range(N_ITEMS)]


def whole(rows):
    return EventState.of(CONFIG, columns(rows), N_USERS, N_ITEMS, now=LATER)


@settings(max_examples=60)
@given(happened, st.integers(1, 7), st.integers(0, 40), st.integers(1, 9))
def test_events_in_groups_and_all_at_once_come_to_the_same(events, group, first, waiting):
    rows = numbered(events)
    live = EventState.of(CONFIG, columns(rows[:first]), N_USERS, N_ITEMS, now=T0)
    for at in range(first, len(rows), group):
        block = rows[at : at + group]
        live.apply(columns(block), now=max(row[5] for row in block))
        if at % waiting == 0:
            live.settled()
    assert seen(live) == seen(whole(rows))


@settings(max_examples=60)
@given(happened, st.integers(0, N_USERS - 1), st.booleans())
def test_forgetting_leaves_what_was_there_without_the_user(events, user, settled):
    rows = numbered(events)
    live = EventState(CONFIG)
    for row in rows:
        live.apply(columns([row]))
    if settled:
        live.settled()
    live.forget(Forgotten(user, ""))
    assert seen(live) == seen(whole([row for row in rows if row[1] != user]))
    again = [(len(rows) + k, user, *row[2:]) for k, row in enumerate(rows)]
    live.apply(columns(again))
    assert seen(live) == seen(whole([row for row in rows if row[1] != user] + again)), "and goes on from there"


def test_what_was_engaged_in_is_found_behind_many_other_events():
    ignored = [(k, 0, 0, 3, np.nan, T0 + k) for k in range(2, 30)]
    rows = [(0, 0, 1, 0, np.nan, T0), (1, 0, 2, 0, np.nan, T0 + 1), *ignored, (30, 0, 3, 0, np.nan, T0 + 30)]
    live = EventState(CONFIG)
    for row in rows:
        live.apply(columns([row]))
        live.settled()
    assert [side.tolist() for side in live.covisits.counts(3)] == [[1, 2], [1, 1]]
    assert seen(live) == seen(whole(rows))


def test_what_waits_is_counted_when_somebody_reads_and_before_it_is_much():
    live = EventState(CONFIG)
    for seq in range(module.WAITING):
        assert live.trails.n_users == 0
        live.apply(columns([(seq, 0, 1, 0, np.nan, T0 + seq)]))
    assert len(live.trails.of_user(0).item) == module.WAITING
    live.apply(columns([(100, 0, 1, 0, np.nan, T0 + 100)]))
    assert len(live.settled().trails.of_user(0).item) == module.WAITING + 1


def test_who_reads_while_events_are_counted_waits_for_them():
    live = EventState(CONFIG)
    returned_early = []

    class Slow(Trails):
        def apply(self, signals):
            reader = Thread(target=live.settled)
            reader.start()
            reader.join(0.1)
            returned_early.append(not reader.is_alive())
            super().apply(signals)

    live.trails = Slow()
    live.apply(columns([(0, 0, 1, 0, np.nan, T0)]))
    assert len(live.settled().trails.of_user(0).item) == 1
    assert returned_early == [False]


def test_events_of_a_later_type_are_read_by_its_name():
    live = EventState(CONFIG)
    for seq, types in enumerate((("view",), ("view", "purchase"))):
        row = columns([(seq, 0, 1, seq, np.nan, T0 + seq)])
        live.apply(EventColumns(row.seq, row.user, row.item, row.type, row.value, row.time, types))
    assert live.settled().trails.of_user(0).flags.tolist() == [3, 5]


def test_live_co_visits_are_those_of_the_table_for_training():
    rng = np.random.default_rng(2)
    rows = numbered(
        zip(
            rng.integers(0, N_USERS, 200).tolist(),
            rng.integers(0, N_ITEMS, 200).tolist(),
            rng.integers(0, len(TYPES), 200).tolist(),
            [np.nan] * 200,
            (T0 + HOUR * np.sort(rng.integers(0, 300, 200))).tolist(),
            strict=True,
        )
    )
    items = np.arange(N_ITEMS, dtype=np.int32)
    table = np.empty((len(COVISIT_VALUES), N_ITEMS), np.float32)
    sweep(signals(columns(rows), CONFIG.event), items, np.full(N_ITEMS, 2, np.int32), np.full(N_ITEMS, LATER), 5, table)
    live = EventState(CONFIG)
    for row in rows:
        live.apply(columns([row]))
    trail = live.settled().trails.of_user(2)
    engaged = trail.item[(trail.flags & 1) != 0].tolist()
    anchors = np.array(list(dict.fromkeys(engaged[:-6:-1])), np.int32)
    assert live.covisits.strength(anchors, items).tolist() == pytest.approx(table[0].tolist(), rel=0, abs=0)
