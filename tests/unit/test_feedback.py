"""The loop: durable before it is acknowledged, felt at once, counted once, in DuckDB soon."""

import threading
import time

import numpy as np
import pytest

from recengine import Engine, Event, Request
from recengine.errors import BadRequest, EngineFault
from recengine.online.recent import Recent
from recengine.types import Receipt

T0 = 1_760_000_000


def bought(n_users=30, n_items=12, seed=3):
    rng = np.random.default_rng(seed)
    return [
        {"user_id": f"u{u}", "item_id": f"i{i}", "type": "purchase", "timestamp": T0 + 100 * u + int(i)}
        for u in range(n_users)
        for i in rng.choice(n_items, 5, replace=False)
    ]


@pytest.fixture
def shop(tmp_path):
    with Engine.open(tmp_path / "shop", create=True) as engine:
        engine.ingest(events=bought())
        engine.train(force=True)
        yield engine


def stored(engine):
    engine._feedback.flush()
    return engine._database.read().row("SELECT count(*) FROM events")[0]


def shown(engine, user, n=4):
    return [item.item_id for item in engine.recommend(user, n=n).items]


def test_a_click_changes_the_next_answer_and_is_stored(shop):
    first = shown(shop, "u1")
    before = stored(shop)
    assert shop.record({"user_id": "u1", "item_id": first[0], "type": "purchase"}) == Receipt(stored=1)
    assert first[0] not in shown(shop, "u1")
    assert stored(shop) == before + 1


def test_an_event_id_counts_once_in_one_call_and_in_many(shop):
    event = {"user_id": "u1", "item_id": "i1", "type": "view", "event_id": "e"}
    assert shop.record([event, event]) == Receipt(stored=1, duplicates=1)
    assert shop.record(event) == Receipt(stored=0, duplicates=1)
    assert shop.record({**event, "user_id": "u2"}) == Receipt(stored=0, duplicates=1), "the id alone decides"


def test_only_events_with_a_moment_are_known_by_their_content(shop):
    at = {"user_id": "u1", "item_id": "i1", "type": "view", "order": T0 + 9_000}
    assert shop.record([at, at]).duplicates == 1
    assert shop.record({**at, "order": "2025-10-09T11:23:20Z"}).duplicates == 1, "the same moment in other words"
    assert shop.record({**at, "order": "2025-10-09T11:23:21Z"}).stored == 1
    now = {"user_id": "u1", "item_id": "i1", "type": "view"}
    assert shop.record([now, now]) == Receipt(stored=2), "two views are two views"


def test_ids_are_remembered_over_a_restart(tmp_path):
    event = {"user_id": "u", "item_id": "i", "type": "view", "event_id": "e"}
    for stored_now in (1, 0, 0):
        with Engine.open(tmp_path / "shop", create=True) as engine:
            assert engine.record(event).stored == stored_now


def test_the_oldest_ids_are_let_go():
    recent = Recent(10)
    recent.add(f"e{k}" for k in range(10))
    recent.add(f"f{k}" for k in range(10))
    assert "e0" in recent or "f0" in recent
    recent.add(f"g{k}" for k in range(10))
    assert "e0" not in recent
    assert all(f"g{k}" in recent for k in range(10))
    assert len(recent) <= 20
    recent.discard(f"g{k}" for k in range(10))
    assert not any(f"g{k}" in recent for k in range(10)), "also where a generation ended in between"


def test_an_id_that_the_door_had_forgotten_is_learned_from_once(shop):
    event = {"user_id": "u1", "item_id": "i1", "type": "purchase", "event_id": "e"}
    shop.record(event)
    shop._feedback._admission.recent = Recent()
    assert shop.record(event).stored == 1
    before = stored(shop)
    assert shop.train(force=True).build.events == before - 1


def test_late_events_are_put_in_the_order_of_time(shop):
    user = shop._ids.users.row("u1")
    shop.record({"user_id": "u1", "item_id": "i1", "type": "like", "order": T0 + 50_000})
    shop.record({"user_id": "u1", "item_id": "i1", "type": "dislike", "order": T0 + 40_000})
    shop._feedback.flush()
    row = shop._state.histories.row(user)
    times = row.times.tolist()
    assert times == sorted(times)
    assert row.weights[row.items == shop._ids.items.row("i1")][0] > 0, "the later opinion holds"
    assert shop._state.late == set()


def test_events_may_name_new_users_items_and_types(shop):
    shop.record([{"user_id": "new", "item_id": f"fresh{k}", "type": "ogled"} for k in range(3)])
    assert shop.item("fresh1").available
    assert "fresh0" not in shown(shop, "new", n=15)
    assert "fresh0" in shown(shop, "u1", n=15)
    assert shop.user("new").attributes == {}
    assert shop.explain("new", "fresh0").excluded_by == ("seen",)


def test_integers_that_sort_go_on_where_they_ended(tmp_path):
    with Engine.open(tmp_path / "shop", create=True) as engine:
        engine.record([{"user_id": "u", "item_id": f"i{k}", "order": k} for k in (5, 3)])
        engine.record({"user_id": "u", "item_id": "i9"})
        with pytest.raises(BadRequest, match="integers"):
            engine.record({"user_id": "u", "item_id": "i1", "order": "2026-01-01"})
        engine._feedback.flush()
        assert engine._state.histories.row(0).times.tolist() == [3, 5, 6]


def test_what_was_shown_is_joined_with_what_was_done(shop):
    reply = shop.recommend("u1", n=3)
    item = reply.items[1].item_id
    shop.record(
        [{"user_id": "u1", "item_id": item, "type": t, "request_id": reply.request_id} for t in ("click", "cart")]
    )
    seen = shop.impressions(reply.request_id)
    assert [(s.position, s.item_id) for s in seen] == [(k, i.item_id) for k, i in enumerate(reply.items, 1)]
    assert [s.events for s in seen] == [(), ("click", "cart"), ()]
    assert all(s.user_id == "u1" and s.version == reply.version for s in seen)


def test_a_kept_reply_is_recorded_by_reference(shop):
    first = shop.reply(Request(user_id="u1", n=3), b"k")
    again = shop.cached(b"k")
    names = [body[15:47].decode() for body in (first, again)]
    one, two = (shop.decision(name) for name in names)
    assert (two.same_as, two.items, two.scores) == (names[0], one.items, one.scores)
    item = one.items[2]
    shop.record({"user_id": "u1", "item_id": item, "type": "click", "request_id": names[1]})
    assert [s.events for s in shop.impressions(names[1])] == [(), (), ("click",)]


def test_without_full_capture_the_request_and_its_moment_are_kept(tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "recengine.toml").write_text("[serving]\ndecision_rate = 0\n")
    with Engine.open(tmp_path / "shop", create=True) as engine:
        engine.ingest(events=bought())
        engine.train(force=True)
        engine.record({"user_id": "u1", "item_id": "i1", "type": "view"})
        reply = engine.recommend("u1", n=3, deny=["i2"])
        found = engine.decision(reply.request_id)
        assert found.items == tuple(item.item_id for item in reply.items)
        assert (found.scores, found.version, found.seq) == ((), reply.version, engine._journal.last_seq - 1)
        assert [seen.position for seen in engine.impressions(reply.request_id)] == [1, 2, 3]
        assert '"deny":["i2"]' in found.request


def test_writers_beside_each_other_lose_and_repeat_nothing(shop):
    before = stored(shop)

    def write(k):
        for j in range(60):
            shop.record({"user_id": f"w{k}", "item_id": f"i{j % 12}", "type": "view", "event_id": f"{k}-{j % 50}"})

    threads = [threading.Thread(target=write, args=(k,)) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stored(shop) == before + 12 * 50
    assert shop.facts()["events known"] == 12 * 10
    for k in range(12):
        assert len(shop._state.histories.row(shop._ids.users.row(f"w{k}")).items) == 12


def test_events_during_an_ingest_are_felt_and_acknowledged_after_it(shop):
    """Rows and numbers have one order: those of the ingest first."""
    receipts = []
    event = {"user_id": "meanwhile", "item_id": "i1", "type": "view"}
    waiting = threading.Thread(target=lambda: receipts.append(shop.record(event)))
    with shop._feedback.held(lambda: None):
        waiting.start()
        waiting.join(0.3)
        assert receipts == []
        assert shop._ids.users.row("meanwhile") < 0
    waiting.join()
    assert receipts == [Receipt(stored=1)]
    assert shop._ids.users.row("meanwhile") >= 0
    stop = threading.Event()

    def write():
        k = 0
        while not stop.is_set():
            shop.record({"user_id": f"during{k}", "item_id": f"d{k}", "type": "view"})
            k += 1

    thread = threading.Thread(target=write)
    thread.start()
    for part in range(3):
        shop.ingest(
            events=[
                {"user_id": f"part{part}-{k}", "item_id": f"p{k}", "type": "view", "timestamp": T0 + k}
                for k in range(2000)
            ]
        )
    stop.set()
    thread.join()
    live = {name: shop._ids.users.row(name) for name in shop.users()}
    count = stored(shop)
    seqs = shop._database.read().table("SELECT seq FROM events ORDER BY seq")["seq"].to_numpy()
    assert seqs.tolist() == list(range(count)), "dense, each once"
    rows = dict(shop._database.read().rows('SELECT id, "row" FROM user_ids'))
    assert rows == live


def test_a_callback_gets_the_receipt(shop):
    got, ready = [], threading.Event()

    def done(result):
        got.append(result)
        ready.set()

    shop.record_soon([Event(user_id="u1", item_id="i1", type="view")], done)
    assert ready.wait(10)
    assert got == [Receipt(stored=1)]
    with pytest.raises(BadRequest, match="user_id"):
        shop.record_soon([Event(user_id="\x00", item_id="i1")], done)


def test_a_closed_engine_says_so(tmp_path):
    engine = Engine.open(tmp_path / "shop", create=True)
    engine.close()
    engine.close()
    with pytest.raises(EngineFault, match="closed"):
        engine.record({"user_id": "u", "item_id": "i"})


def test_duckdb_follows_by_itself(shop):
    shop.record({"user_id": "u1", "item_id": "i1", "type": "view"})
    until = time.monotonic() + 20
    while shop.facts()["behind"] and time.monotonic() < until:
        time.sleep(0.02)
    assert shop.facts()["behind"] == 0


def test_who_does_not_allow_it_is_answered_as_nobody(shop):
    assert not shop.recommend("u1").cold
    shop.consent("u1", "personalisation", granted=False)
    reply = shop.recommend("u1", n=5)
    assert reply.cold
    assert [i.item_id for i in reply.items] == shown(shop, None, n=5)
    shop.consent("u1", "personalisation", granted=True)
    assert not shop.recommend("u1").cold


def test_half_a_surrogate_pair_in_a_wish_costs_the_wish_alone(shop):
    shop.put_items([{"item_id": "i1", "attributes": {"category": "a"}}])
    reply = shop.recommend("u1", n=2, categories_none=("\ud800",))
    assert len(reply.items) == 2
    assert shop.decision(reply.request_id).request == ""
    assert len(shop.decision(reply.request_id).items) == 2


def test_an_id_that_an_ingest_brought_is_known_at_the_door(shop):
    event = {"user_id": "u1", "item_id": "i1", "type": "view", "event_id": "ingested"}
    shop.ingest(events=[{**event, "timestamp": T0}])
    assert shop.record(event).duplicates == 1


def test_many_callers_cannot_bring_more_types_than_there_may_be(shop):
    refused = []

    def write(k):
        try:
            shop.record([{"user_id": "u1", "item_id": "i1", "type": f"t{k}-{j}"} for j in range(300)])
        except BadRequest as err:
            refused.append(str(err))

    threads = [threading.Thread(target=write, args=(k,)) for k in range(8)]
    with shop._feedback.held(lambda: None):  # nothing is folded meanwhile, so the door knows of none of them
        for thread in threads:
            thread.start()
        time.sleep(0.3)
    for thread in threads:
        thread.join()
    assert len(refused) == 5
    assert all("types already" in text for text in refused)
    assert len(shop._ids.types) <= 1000
    assert shop.record({"user_id": "u1", "item_id": "i1", "type": "view"}).stored == 1


def test_the_first_event_decides_what_orders_mean(tmp_path):
    with Engine.open(tmp_path / "shop", create=True) as engine:
        events = [{"user_id": "u", "item_id": "i", "order": 5}, {"user_id": "u", "item_id": "i", "order": "2026-01-01"}]
        with pytest.raises(BadRequest, match="integers"):
            engine.record(events)
        assert engine.record(events[1]).stored == 1
        with pytest.raises(BadRequest, match="moments"):
            engine.record(events[0])


def test_what_lies_in_the_future_is_refused(shop):
    with pytest.raises(BadRequest, match="future"):
        shop.record({"user_id": "u1", "item_id": "i1", "order": "2199-01-01"})


def test_a_wish_with_what_is_no_id_is_refused(shop):
    for wish in ({"deny": ["a\x00"]}, {"allow": ["\u202e"]}, {"session_id": "a\n"}, {"events": [{"item_id": "\x7f"}]}):
        with pytest.raises(BadRequest, match=next(iter(wish))):
            shop.recommend("u1", **wish)


def test_configured_types_always_fit(tmp_path):
    with Engine.open(tmp_path / "shop", create=True) as engine:
        engine.record([{"user_id": "u", "item_id": "i", "type": f"t{k}"} for k in range(1000)])
        assert engine.record({"user_id": "u", "item_id": "i", "type": "like"}).stored == 1
