"""Sessions: a fold of events into bounded visits, against a recount from the list of all events."""

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recengine.config import DEFAULT_EVENTS, Serving
from recengine.features.interaction import event_bits, event_weights, ratings
from recengine.online.histories import NOTHING, folded
from recengine.online.sessions import MINUTE, Sessions
from recengine.store.events import read_events, read_session_events
from recengine.store.homes import Forgotten
from recengine.types import EventColumns
from tests.unit.ingesting import opened

TYPES = ("view", "purchase", "dislike", "ignore")
START = 1_700_000_000_000_000
CONFIG = Serving(sessions=3, session_minutes=30.0, history_limit=4)


def columns(rows):
    """Rows of (session, user, item, type, minutes), in order of arrival."""
    names = [row[0] for row in rows]
    table = np.array([row[1:] for row in rows], np.int64).reshape(-1, 4)
    n = len(rows)
    return names, EventColumns(
        np.arange(n, dtype=np.int64),
        table[:, 0].astype(np.int32),
        table[:, 1].astype(np.int32),
        table[:, 2].astype(np.int16),
        np.full(n, np.nan, np.float32),
        START + table[:, 3] * MINUTE,
        TYPES,
    )


def part(names, events, where):
    picked = EventColumns(*(getattr(events, f)[where] for f in events.__struct_fields__[:-1]), events.types)
    return [names[k] for k in np.atleast_1d(where).tolist()], picked


def visits(rows):
    """Recount: session -> (positions of its current visit, users), the one least lately touched first."""
    held = {}
    for at, (name, user, _, _, minutes) in enumerate(rows):
        if name is None:
            continue
        places, users, last = held.pop(name, ([], set(), minutes))
        if abs(minutes - last) > 30:
            places, users, last = [], set(), minutes
        held[name] = ([*places, at], users | {user}, max(last, minutes))
        held = dict(list(held.items())[-3:])
        for _ in range(2):
            oldest = next(iter(held))
            if abs(minutes - held[oldest][2]) > 30:
                del held[oldest]
            else:
                break
    return held


happened = st.lists(
    st.tuples(
        st.sampled_from((None, "a", "b", "c", "d", "e")),
        st.integers(0, 2),
        st.integers(0, 3),
        st.integers(0, len(TYPES) - 1),
        st.integers(0, 5),
    ),
    max_size=40,
)


def walked(rows, pace):
    """Let time go on by up to `pace` minutes with every event, sometimes back."""
    minutes, out = 0, []
    for name, user, item, kind, step in rows:
        minutes += (step - 1) * pace
        out.append((name, user, item, kind, minutes))
    return out


def same(left, right):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


@given(happened, st.sampled_from((1, 5, 11)), st.lists(st.integers(1, 9), max_size=20))
def test_sessions_are_a_recount_of_all_events_whatever_the_groups(rows, pace, sizes):
    rows = walked(rows, pace)
    names, events = columns(rows)
    sessions = Sessions(DEFAULT_EVENTS, CONFIG)
    start = 0
    for size in [*sizes, len(rows)]:
        where = np.arange(start, min(start + size, len(rows)))
        order = where[np.lexsort((where, events.time[where], events.user[where]))]  # as the fold orders a group
        sessions.apply(*part(names, events, order))
        start += size
    expected = visits(rows)
    assert len(sessions) == len(expected)
    weights, bits = event_weights(events, DEFAULT_EVENTS), event_bits(events, DEFAULT_EVENTS)
    rated = ratings(events, DEFAULT_EVENTS)
    for name in ("a", "b", "c", "d", "e"):
        if name not in expected:
            assert sessions.history(name, START) is None
            assert sessions.owner(name) == -1
            continue
        places, users, last = expected[name]
        block = [(int(events.item[k]), float(weights[k]), int(events.time[k]), int(bits[k]), k, float(rated[k])) for k in places]
        found = sessions.history(name, START + (last + 30) * MINUTE)
        same(found, folded(NOTHING, block))
        assert sessions.history(name, START + (last + 30) * MINUTE + 1) is None, "over"
        assert sessions.owner(name) == rows[places[-1]][1]
        assert rows[places[-1]][1] in users


@given(happened, st.integers(0, 2))
def test_a_forgotten_user_is_in_no_session(rows, user):
    rows = walked(rows, 1)
    names, events = columns(rows)
    sessions = Sessions(DEFAULT_EVENTS, CONFIG)
    sessions.apply(names, events)
    sessions.forget(Forgotten(user, ""))
    for name, (_, users, _) in visits(rows).items():
        assert (sessions.history(name, START) is None) == (user in users)


def test_a_visit_keeps_its_latest_items():
    names, events = columns([("a", 0, item, 0, 0) for item in range(100)])
    sessions = Sessions(DEFAULT_EVENTS, CONFIG)
    sizes = []
    for at in range(100):
        sessions.apply(*part(names, events, np.array([at])))
        row = sessions.history("a", START)
        sizes.append(len(row.touched))
        assert row.items[-1] == at
        assert set(row.items.tolist()) == set(row.touched.tolist())
        assert row.items.tolist() == list(range(at + 1 - len(row.items), at + 1))
    assert max(sizes) == 6
    assert min(sizes[6:]) == 4


def test_a_trail_is_the_latest_events_in_the_order_of_time_and_takes_no_more_room_than_said():
    rng = np.random.default_rng(1)
    told = [("a", 0, int(rng.integers(99)), int(rng.integers(4)), int(rng.integers(20))) for _ in range(150)]
    names, events = columns(told)
    for most in (1, 3, 20, 500):
        sessions = Sessions(DEFAULT_EVENTS, CONFIG, most)
        held = []
        for at in range(150):
            sessions.apply(*part(names, events, np.array([at])))
            trail = sessions.trail("a", START)
            latest = np.arange(at + 1)[-most:]
            latest = latest[np.argsort(events.time[latest], kind="stable")]
            assert trail.item.tolist() == events.item[latest].tolist()
            assert trail.time.tolist() == events.time[latest].tolist()
            held.append((sessions._visits["a"], sessions._visits["a"].rows.copy()))
            assert held[-1][1].nbytes <= 18 * max(4, min(2 * (at + 1), most + most // 8 + 1))
        for visit, rows in held:
            shown = slice(visit.start, visit.end)
            assert visit.rows[shown].tobytes() == rows[shown].tobytes(), "what a reader holds never changes"


def test_events_whose_order_is_no_time_end_no_visit():
    names, events = columns([("a", 0, 1, 0, 0), ("a", 0, 2, 0, 0), ("b", 0, 2, 0, 0)])
    sessions = Sessions(DEFAULT_EVENTS, CONFIG)
    sessions.apply(names, msgspec.structs.replace(events, time=np.array([3, 10**9, 10**12])))
    assert sessions.history("a", START).items.tolist() == [1, 2]
    assert len(sessions) == 2


def test_what_a_reader_holds_never_changes_and_every_event_makes_another_object():
    names, events = columns([("a", 0, k % 3, k % 4, 0) for k in range(12)])
    sessions = Sessions(DEFAULT_EVENTS, CONFIG)
    held = []
    for at in range(12):
        sessions.apply(*part(names, events, np.array([at])))
        row = sessions.history("a", START)
        assert row is sessions.history("a", START)
        held.append((row, [column.copy() for column in row[:5]]))
    for row, copies in held:
        same(row[:5], copies)
    assert len({id(row) for row, _ in held}) == 12


def test_a_restart_reads_the_sessions_that_are_not_over(tmp_path):
    rng = np.random.default_rng(4)
    now = START + 400 * MINUTE
    rows = [
        {
            "user_id": f"u{rng.integers(5)}",
            "item_id": f"i{rng.integers(9)}",
            "type": str(rng.choice(("view", "purchase", "dislike"))),
            "order": int(START + k * MINUTE),
            "session_id": None if k % 4 == 0 else f"s{rng.integers(k // 20, k // 20 + 4)}",
        }
        for k in range(400)
    ]
    with opened(tmp_path / "shop") as shop:
        shop.ingest(events=rows)
        everything = read_events(shop.database)
        assert len(everything.seq) == len(rows)
        names = [rows[seq]["session_id"] for seq in everything.seq]
        live, restarted = (Sessions(DEFAULT_EVENTS, msgspec.structs.replace(CONFIG, sessions=1000)) for _ in range(2))
        for at in np.argsort(everything.seq):
            live.apply(*part(names, everything, np.array([at])))
        restarted.apply(*read_session_events(shop.database, since=now - 30 * MINUTE, most=1000))
        ever = set(names) - {None}
        known = {name for name in ever if live.history(name, now) is not None}
        assert 3 < len(known) < 15
        assert {name for name in ever if restarted.history(name, now) is not None} == known
        for name in known:
            same(live.history(name, now), restarted.history(name, now))
            assert live.owner(name) == restarted.owner(name)
        latest, _ = read_session_events(shop.database, since=now - 30 * MINUTE, most=2)
        assert len(set(latest)) == 2
        assert len(read_session_events(shop.database, since=now + 1, most=9)[0]) == 0
