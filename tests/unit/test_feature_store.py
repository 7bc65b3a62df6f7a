"""The feature store, live: what is kept is as good as computed, visitors are read like users, and nobody is kept whom we forgot."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recengine import Engine, Request
from recengine.config import Config, FeatureConfig, Features, Serving, Training
from recengine.errors import BadRequest, NotFitted, UnknownItem
from recengine.features.definition import Feature, FeatureSet, Timeline
from recengine.features.pairs import PAIR_VALUES
from recengine.offline.featuring import training_table
from recengine.online.context import PERSONALISATION
from recengine.online.feature_store import FeatureStore
from recengine.online.timelines import Timelines
from recengine.online.trace import Trace
from recengine.online.user_rows import Asked
from recengine.store.homes import Forgotten
from recengine.types import Pool, SessionEvent
from tests.laws.world import patient

T0, MINUTE = 1_760_000_000, 60_000_000
ITEMS = [f"i{k}" for k in range(12)]
CONFIG = Config(
    model=patient(Config().model)[-1:],
    training=Training(tune_blend=False),
    features=Features(rows=2_000),
    serving=Serving(session_minutes=30.0),
    feature=(
        FeatureConfig(name="latest_kind", entity="user", dtype="category", every="1h", sql="SELECT user_id AS entity, time, type AS value FROM events"),
        FeatureConfig(name="rank", entity="item", sql="SELECT item_id AS entity, '-infinity'::TIMESTAMP AS time, count(*) AS value FROM events GROUP BY 1"),
    ),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    rng = np.random.default_rng(8)
    with Engine.open(tmp_path_factory.mktemp("store") / "shop", create=True, config=CONFIG) as engine:
        engine.ingest(
            events=[
                {"user_id": f"u{u}", "item_id": ITEMS[i], "type": ["view", "purchase"][int(rng.random() < 0.3)], "timestamp": T0 + int(rng.integers(0, 90 * 86_400))}
                for u in range(40)
                for i in rng.integers(0, 12, 12)
            ],
            items=[{"item_id": i, "category": "abc"[k % 3], "brand": "xy"[k % 2], "price": 1.0 + k} for k, i in enumerate(ITEMS)],
            users=[{"user_id": f"u{u}", "country": "de" if u % 2 else "fr"} for u in range(40)],
        )
        engine.train(force=True)
        everything(engine)
        yield engine


def everything(engine):
    """Serve all features, not only those that selection kept on so few events."""
    table = training_table(engine._database, CONFIG, rows=200)
    service = engine.spine().features
    program = service.fitted().program
    service.store = FeatureStore(engine._state, CONFIG, table.features, table.labels, {}, program)
    engine._timelines.serve(service.store)


def values(engine, asked):
    store = engine.spine().features.fitted()
    return store.values(asked, np.arange(12, dtype=np.int32), engine._state.items)


def bits(array):
    return np.where(np.isnan(array), np.float32(np.nan), array).tobytes()


def of(engine, name, **wish):
    """A feature of all items for one request."""
    spine = engine.spine()
    service = spine.features
    row = service.fitted().features.names.index(name)
    return service.values(spine.context.one(Request(**wish)), np.arange(12, dtype=np.int32))[row].tolist()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40 * MINUTE), st.booleans()), min_size=2, max_size=8))
def test_a_row_that_was_kept_is_the_row_that_would_be_computed(shop, steps):
    store = shop.spine().features.fitted()
    t = shop._state.latest + 1
    for user, later, new in steps:
        t += later
        if new:
            shop.record({"user_id": f"u{user}", "item_id": ITEMS[user], "type": "view", "order": t // 1_000_000})
            t = (t // 1_000_000 + 1) * 1_000_000
        row = shop._ids.users.row(f"u{user}")
        asked = Asked(row, store.trail(row), t, {})
        kept = values(shop, asked)
        assert bits(values(shop, asked)) == bits(kept)
        assert bits(kept) == bits(values(shop, asked._replace(own=False))), "which is never kept"
    assert store.users.hits > 0


def test_the_matrix_of_a_batch_is_that_of_each_and_counts_what_is_missing(shop):
    spine = shop.spine()
    service, program = spine.features, spine.features.fitted().program
    requests = tuple(Request(user_id=name) for name in ("u1", "u2", "nobody"))
    pools = [np.array([0, 3, 5], np.int32), np.array([], np.int32), np.array([1, 11], np.int32)]
    indptr = np.array([0, 3, 3, 5], np.int64)
    context = spine.context.resolve(requests, Trace(requests), 1)
    before = sum(program.missing.values())
    whole = service.matrix(context, Pool(indptr, np.concatenate(pools), np.zeros(5, np.uint32), ()))
    assert whole.shape == (5, program.width)
    assert sum(program.missing.values()) > before
    assert shop.facts()["feature values missing"] == sum(program.missing.values())
    store = service.fitted()
    for b, items in enumerate(pools):
        own = store.values(service.asked(context, b), items, context.items)
        kept = own[[store.features.names.index(name) for name in program.features]]
        np.testing.assert_array_equal(whole[indptr[b] : indptr[b + 1]], program.apply(np.ascontiguousarray(kept)))


def test_a_visitor_is_read_by_its_session_and_by_what_it_tells(shop):
    shop.record([{"user_id": "guest", "item_id": i, "type": "view", "session_id": "v1"} for i in ("i1", "i2", "i1")])
    assert of(shop, "pair_events", session_id="v1")[:3] == [0, 2, 1]
    assert of(shop, "pair_events", session_id="elsewhere")[:3] == [0, 0, 0]
    assert of(shop, "session_views", session_id="v1")[0] == 3
    told = (SessionEvent(item_id="i2", type="view"), SessionEvent(item_id="i5", type="purchase"), SessionEvent(item_id="gone"))
    assert of(shop, "pair_events", session_id="v1", events=told)[:6] == [0, 2, 2, 0, 0, 1]
    assert of(shop, "session_conversions", events=told)[0] == 1
    assert of(shop, "pair_events", session_id="v1")[:3] == [0, 2, 1], "what is told is not kept"
    shop.consent("guest", PERSONALISATION, granted=False)
    assert of(shop, "pair_events", session_id="v1", events=told)[:6] == [0] * 6
    shop.consent("guest", PERSONALISATION, granted=True)


def test_what_is_told_besides_is_kept_for_nobody(shop):
    told = (SessionEvent(item_id="i7", type="purchase"),)
    before = of(shop, "pair_events", user_id="u5")
    after = of(shop, "pair_events", user_id="u5", events=told)
    assert after[7] == before[7] + 1
    shop.record({"user_id": "u5", "item_id": "i8", "type": "view"})  # the trail is as long now as the told one was
    assert of(shop, "pair_events", user_id="u5")[8] == before[8] + 1
    service, context = shop.spine().features, shop.spine().context.one(Request(user_id="u5"))
    asked = service.asked(context, 0)
    assert bits(values(shop, asked)) == bits(computed(shop, asked))


def computed(engine, asked):
    """The same, without anything that was kept."""
    store = engine.spine().features.fitted()
    store.users._kept.clear()
    return values(engine, asked)


def test_a_forgotten_user_has_no_row_and_no_timeline(shop):
    shop.record([{"user_id": "leaving", "item_id": i, "type": "view"} for i in ("i1", "i2")])
    row = shop._ids.users.row("leaving")
    store = shop.spine().features.fitted()
    of(shop, "user_events", user_id="leaving")
    assert row in store.users._kept
    shop._timelines.again()
    shop.forget("leaving")
    assert row not in store.users._kept
    assert len(shop._state.counted.settled().trails.of_user(row).item) == 0
    assert all(row not in told.row for name, told in shop._timelines.told.items() if name == "latest_kind")


def test_who_is_forgotten_while_timelines_are_asked_stays_forgotten(shop):
    row = shop._ids.users.row("u2")
    timelines = Timelines(shop._database, shop._state)

    class Told(FeatureStore):
        said = None

        def retell(self, told):
            if not self.said and told:  # it comes between what was asked and what is told
                self.said = told
                timelines.forget(Forgotten(row, "u2"))
            self.said = told
            super().retell(told)

    live = shop.spine().features.fitted()
    store = Told(shop._state, CONFIG, live.features, live.labels, {}, live.program)
    timelines.serve(store)
    assert len(store.said["latest_kind"].row) > 0
    assert row not in store.said["latest_kind"].row
    assert row not in timelines.told["latest_kind"].row


def test_a_query_that_takes_long_holds_up_no_writes_and_ends_at_close(shop):
    live = shop.spine().features.fitted()
    sql = "SELECT 'i1' AS entity, 5 AS time, count(*) AS value FROM range(10000000) a(x), range(10000000) b(y) WHERE x * y % 7 = 3"
    slow = Feature(name="slow", entity="item", how=Timeline("item", sql=sql, every=1))
    timelines = Timelines(shop._database, shop._state)
    timelines._store = FeatureStore(shop._state, CONFIG, FeatureSet((*live.features.features, slow)), live.labels, {}, live.program)
    timelines._next = 0  # its moment has come
    shop._feedback.follower.chores.append(timelines.keep)
    try:
        start = time.monotonic()
        while timelines._asking is None:
            shop._feedback.follower.wake()
            time.sleep(0.01)
        shop.record([{"user_id": "u1", "item_id": "i1", "type": "view"}])
        shop._feedback.follower.wake()
        while shop._ledger.behind:
            assert time.monotonic() - start < 20, "the query holds up the writes"
            time.sleep(0.01)
        assert timelines._asking.is_alive()
    finally:
        shop._feedback.follower.chores.remove(timelines.keep)
        timelines.close()
    assert not timelines._asking.is_alive()
    assert timelines.trouble == {}


def test_a_new_price_and_a_new_item_count_at_once(shop):
    shop.put_items([{"item_id": "i3", "attributes": {"category": "a", "brand": "x", "price": 70.0}}])
    assert shop.features("u1", ["i3"])["item_price"] == [70.0]
    shop.put_items([{"item_id": "new", "attributes": {"category": "unheard of", "price": 5.0}}])
    found = shop.features("u1", ["new", "i1"])
    assert found["item_price"][0] == 5.0
    assert found["item_category"] == [None, "b"]


def test_features_are_told_as_they_were(shop):
    shop._feedback.flush()
    then = (T0 + 40 * 86_400) * 1_000_000
    old = shop.features("u1", ITEMS[:3], at=then)
    shop.record([{"user_id": "u1", "item_id": "i1", "type": "purchase"} for _ in range(3)])
    assert shop.features("u1", ITEMS[:3], at=then) == old
    assert list(old) == list(shop.features("u1", ITEMS[:3]))
    now = shop.features("u1", ITEMS[:3])
    assert now["item_engaged"][1] >= old["item_engaged"][1] + 3


def test_wrong_questions_are_refused(shop, tmp_path):
    with pytest.raises(UnknownItem):
        shop.features("u1", ["i1", "there is none"])
    for wrong in ({"item_ids": []}, {"item_ids": "i1"}, {"item_ids": ["i1"], "at": 4 * 10**15}, {"item_ids": ["i1"], "at": "now"}):
        with pytest.raises(BadRequest):
            shop.features("u1", **wrong)
    config = Config(model=CONFIG.model, training=CONFIG.training, features=Features(enabled=False))
    with Engine.open(tmp_path / "none", create=True, config=config) as engine:
        engine.ingest(events=[{"user_id": f"u{u}", "item_id": f"i{i}", "timestamp": T0 + u + i} for u in range(20) for i in range(u % 3, 9)])
        engine.train(force=True)
        assert engine._state.counted is None
        assert engine.facts()["counted for features, bytes"] == 0
        with pytest.raises(NotFitted):
            engine.features("u1", ["i1"])


def test_pairs_are_read_in_one_look_or_two(shop):
    """A kept row leaves the pairs to a look of their own."""
    spine = shop.spine()
    context = spine.context.one(Request(user_id="u9"))
    asked = spine.features.asked(context, 0)
    first, second = values(shop, asked), values(shop, asked)
    place = [spine.features.fitted().features.names.index(name) for name in PAIR_VALUES]
    assert bits(first[place]) == bits(second[place])
