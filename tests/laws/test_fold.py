"""The law of the fold: live, after a restart, and replayed from the journal alone, the same frames come to the same."""

import shutil
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recengine import Engine, Request
from recengine.config import Config, Training
from recengine.features.item import ITEM_VALUES
from recengine.store import directory
from recengine.store.database import FILE
from recengine.types import SessionEvent
from tests.laws.world import patient

USERS, ITEMS = [f"u{k}" for k in range(8)], [f"i{k}" for k in range(10)]
KINDS = ("view", "click", "purchase", "rating", "dislike", "block", "ogle")
T0 = 1_760_000_000
CONFIG = Config(model=patient(Config().model), training=Training(tune_blend=False))


@pytest.fixture(scope="module")
def seed(tmp_path_factory):
    """A trained shop whose journal is empty; copied for every example."""
    folder = tmp_path_factory.mktemp("fold") / "shop"
    rng = np.random.default_rng(4)
    with Engine.open(folder, create=True, config=CONFIG) as engine:
        engine.ingest(
            events=[
                {
                    "user_id": f"u{u}",
                    "item_id": f"i{i}",
                    "type": "purchase",
                    "timestamp": T0 + int(rng.integers(0, 10_000)),
                }
                for u in range(30)
                for i in rng.choice(10, 5, replace=False)
            ],
            items=[{"item_id": i, "category": "abc"[k % 3], "price": float(k)} for k, i in enumerate(ITEMS)],
            users=[{"user_id": u, "country": "xy"[k % 2]} for k, u in enumerate(USERS)],
        )
        engine.train(force=True)
    return folder


names = st.sampled_from([*USERS, "new1", "new2"])
items = st.sampled_from([*ITEMS, "fresh"])
orders = st.one_of(st.none(), st.integers(T0 - 5_000, T0 + 50_000))
event = st.fixed_dictionaries(
    {"user_id": names, "item_id": items, "type": st.sampled_from(KINDS)},
    optional={
        "order": orders,
        "event_id": st.sampled_from(["e1", "e2", "e3"]),
        "session_id": st.sampled_from(["s1", "s2"]),
        "value": st.floats(0, 5, width=32),
    },
)
step = st.one_of(
    st.tuples(st.just("record"), st.lists(event, min_size=1, max_size=4)),
    st.tuples(
        st.just("put_items"),
        st.lists(
            st.fixed_dictionaries(
                {
                    "item_id": items,
                    "attributes": st.fixed_dictionaries(
                        {"category": st.sampled_from("abcd")}, optional={"price": st.floats(0, 9, width=32)}
                    ),
                },
                optional={"available": st.booleans()},
            ),
            min_size=1,
            max_size=3,
        ),
    ),
    st.tuples(
        st.just("put_users"),
        st.lists(
            st.fixed_dictionaries(
                {"user_id": names, "attributes": st.fixed_dictionaries({"country": st.sampled_from("xyz")})}
            ),
            min_size=1,
            max_size=2,
        ),
    ),
    st.tuples(st.just("consent"), st.tuples(names, st.booleans())),
    st.tuples(st.just("forget"), names),
    st.tuples(st.just("remove_items"), st.lists(items, min_size=1, max_size=2)),
    st.tuples(st.just("ask"), names),
)


def do(engine, kind, what):
    match kind:
        case "consent":
            engine.consent(what[0], "personalisation", granted=what[1])
        case "ask":
            engine.recommend(what, n=3)
        case _:
            getattr(engine, kind)(what)


def view(engine, now):
    """Everything that a caller can see, without the names of replies."""
    told = (SessionEvent(item_id="i1", type="purchase"), SessionEvent(item_id="i4"))
    wishes = [Request(user_id=u, n=6, explain=True) for u in [*USERS, "new1", "new2"]]
    wishes += [
        Request(n=6),
        Request(session_id="s1", n=6),
        Request(n=6, events=told),
        Request(user_id="u1", n=6, filter='category == "d"'),
    ]
    replies = [msgspec.structs.replace(engine.recommend(w), request_id="") for w in wishes]
    events = {u: [engine.explain(u, i).excluded_by for i in ITEMS] for u in USERS[:3]}
    kept = engine._state.histories
    rows = {u: history(kept.row(engine._ids.users.row(u))) for u in [*USERS, "new1"]}
    listed = [engine.popular(6), engine.trending(6), engine.latest(6), engine.items()[0], engine.list_users()[0]]
    return replies, events, rows, listed, counted(engine, now)


def history(row):
    """One user's row; ratings as text, since NaN is not itself."""
    values = np.full(len(row.items), np.nan) if row.values is None else row.values
    return [*(column.tolist() for column in row[:5]), list(map(str, values.tolist()))]


def counted(engine, now):
    """All that features count from events, and how items stand at a moment, to the bit."""
    state = engine._state.counted.settled()
    known = np.arange(len(engine._ids.items), dtype=np.int32)
    values = np.empty((len(ITEM_VALUES), len(known)), np.float32)
    state.tallies.read(known, now, engine._state.items.since, values)
    trails = {u: [c.tolist() for c in state.trails.of_user(engine._ids.users.row(u))[:4]] for u in [*USERS, "new1"]}
    return values.tobytes(), trails, [[side.tolist() for side in state.covisits.counts(i)] for i in known.tolist()]


@settings(max_examples=10, deadline=None)
@example(
    steps=[
        ("record", [{"user_id": "u1", "item_id": "i1", "type": "purchase", "session_id": "s1"}]),
        ("record", [{"user_id": "u2", "item_id": "i5", "type": "purchase", "session_id": "s1"}]),
        ("forget", "u1"),
    ]
)
@given(steps=st.lists(step, min_size=1, max_size=8))
def test_live_restarted_and_replayed_are_the_same(seed, steps):
    now = (time.time_ns() // 1000) + 3_600_000_000  # later than all that happens here
    with tempfile.TemporaryDirectory() as folder:
        home, again = Path(folder) / "shop", Path(folder) / "again"
        shutil.copytree(seed, home)
        shutil.copytree(seed, again)
        with Engine.open(home, config=CONFIG) as engine:
            before = engine._journal.last_seq
            for kind, what in steps:
                do(engine, kind, what)
            engine._feedback.flush()  # also puts what came late in its place
            live = view(engine, now)
            engine._feedback.flush()  # no record of a reply comes to the journal after this
            frames = engine._journal.last_seq - before
            if not any(kind == "forget" for kind, _ in steps):  # forgetting lets go of the older frames on purpose
                shutil.rmtree(again / directory.JOURNAL)
                shutil.copytree(home / directory.JOURNAL, again / directory.JOURNAL)
        with Engine.open(home, config=CONFIG) as engine:
            assert view(engine, now) == live, "after a restart"
        if (again / directory.JOURNAL).exists() and not any(kind == "forget" for kind, _ in steps):
            assert (again / FILE).exists()
            with Engine.open(again, config=CONFIG) as engine:
                assert engine.replayed == frames
                assert view(engine, now) == live, "replayed"
