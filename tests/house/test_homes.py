"""Whatever keeps something of a user is on the list of homes, and a forgotten user is found nowhere in an open engine."""

import ast
import gc
import time
import types

import duckdb
import msgspec
import numpy as np
import pytest

from recengine import Engine, Request
from recengine.errors import StoreFailed
from recengine.online import catalogues
from recengine.store import snapshot
from recengine.store.homes import HOMES
from recengine.store.ledger import TABLES
from recengine.types import SessionEvent
from tests.house.source import modules

NOT_HOMES = {
    "recengine.engine.records.Records": "the door: asks every home",
    "recengine.client.endpoints.Client": "the door of another process",
    "recengine.features.trails.Trails": "held by a home, which asks it",
}
MARK = "marked-7f3a"


def forgetting():
    """Every class that can forget."""
    for module in modules():
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and any(
                isinstance(n, ast.FunctionDef) and n.name == "forget" for n in node.body
            ):
                yield f"{module.name}.{node.name}", [b.id for b in node.bases if isinstance(b, ast.Name)]


def test_every_class_that_can_forget_is_on_the_list():
    found = {name for name, bases in forgetting() if "Protocol" not in bases} - set(NOT_HOMES)
    assert found == set(HOMES)


def test_every_table_with_users_is_cleared(shop):
    """Columns called user, user_id, or the row and id of a user's table."""
    with_users = {
        table
        for table, column in shop._database.read().rows(
            "SELECT table_name, column_name FROM information_schema.columns"
        )
        if column in {"user", "user_id"} or table.startswith("user_")
    }
    assert with_users | {"event_ids"} == set(TABLES)


@pytest.fixture
def shop(tmp_path):
    rng = np.random.default_rng(3)
    with Engine.open(tmp_path / "shop", create=True) as engine:
        engine.ingest(
            events=[
                {
                    "user_id": f"u{u}",
                    "item_id": f"i{i}",
                    "type": "purchase",
                    "timestamp": 1_760_000_000 + 100 * u + int(i),
                }
                for u in range(30)
                for i in rng.choice(12, 5, replace=False)
            ],
            users=[{"user_id": f"u{u}", "country": "x"} for u in range(30)],
        )
        engine.train(force=True)
        yield engine


def reachable(root):
    """Every object that can be reached from `root` without leaving through modules, types or functions' globals."""
    seen, waiting = set(), [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, types.ModuleType | type | types.FrameType):
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, msgspec.Struct):  # not all of them are tracked
            waiting += [getattr(one, name) for name in one.__struct_fields__]
        elif isinstance(one, types.FunctionType):
            waiting += [cell.cell_contents for cell in one.__closure__ or () if cell.cell_contents is not None]
        else:
            waiting += gc.get_referents(one)


def traces(engine):
    """Where the mark still is: texts and bytes in memory, and tables."""
    objects = [*reachable(engine), *reachable(catalogues._codes)]
    found = [repr(one)[:80] for one in objects if isinstance(one, str) and MARK in one]
    found += [repr(one)[:80] for one in objects if isinstance(one, bytes) and MARK.encode() in one]
    cursor = engine._database.read()
    tables = [name for (name,) in cursor.rows("SELECT table_name FROM information_schema.tables")]
    return found + [table for table in tables if MARK in str(cursor.rows(f'SELECT * FROM "{table}"'))]


def live_everywhere(engine):
    """Leave something of the marked user in every home."""
    said = {"country": f"{MARK}-land", "likes": [f"{MARK}-a", "b"], "about": f"{MARK} " * 20}
    engine.put_users([{"user_id": MARK, "attributes": said}])
    engine.put_users([{"user_id": MARK, "attributes": {**said, "country": f"{MARK}-moved"}}])
    engine.consent(MARK, "email", granted=False)
    before = engine.recommend(Request(session_id=f"{MARK}-s", n=3))
    engine.record({"user_id": MARK, "item_id": "i1", "type": "view", "request_id": before.request_id})
    reply = engine.recommend(MARK, n=3)
    engine.record(
        [
            {
                "user_id": MARK,
                "item_id": item.item_id,
                "type": "click",
                "event_id": f"{MARK}-{k}",
                "session_id": f"{MARK}-s",
                "request_id": reply.request_id,
            }
            for k, item in enumerate(reply.items)
        ]
    )
    engine.reply(Request(user_id=MARK), b"key")
    assert engine.cached(b"key") is not None


def test_a_forgotten_user_is_nowhere(shop, tmp_path):
    live_everywhere(shop)
    shop._feedback.flush()
    homes = traces(shop)
    assert {"user_ids", "event_ids", "decisions"} <= set(homes), "the walk sees the tables"
    assert any(line.startswith("b") for line in homes), "and the memory"
    live_everywhere(shop)
    row = shop._ids.users.row(MARK)
    assert shop.forget(MARK)
    assert not shop.forget(MARK)
    gc.collect()
    assert traces(shop) == []
    assert len(shop._state.histories.row(row).touched) == 0
    assert MARK not in shop.users()
    saved = next((tmp_path / "shop" / "snapshot").glob("*/recengine.duckdb"))
    with duckdb.connect(str(saved), read_only=True) as copy:
        for (table,) in copy.execute("SELECT table_name FROM information_schema.tables").fetchall():
            assert MARK not in str(copy.execute(f'SELECT * FROM "{table}"').fetchall()), table
    segments = [path.read_bytes() for path in (tmp_path / "shop" / "journal").glob("*.seg")]
    assert sum(data.count(MARK.encode()) for data in segments) == 1, "the frame that says whom to forget"
    assert shop.recommend(MARK).cold


def test_copies_of_a_user_who_is_forgotten_on_a_full_disk_go_when_there_is_room(shop, tmp_path, monkeypatch):
    shop._feedback.flush()
    shop._keeper.keep()
    live_everywhere(shop)
    copy_store, folder = snapshot.copy_store, tmp_path / "shop"

    def refused(*_):
        raise StoreFailed("no room")

    monkeypatch.setattr(snapshot, "_PAUSE", 0.05)
    monkeypatch.setattr(snapshot, "copy_store", refused)
    with pytest.raises(StoreFailed):
        shop.forget(MARK)
    with pytest.raises(StoreFailed):  # the user is gone, the copies are not
        shop.forget(MARK)
    time.sleep(0.2)
    monkeypatch.setattr(snapshot, "copy_store", copy_store)
    end = time.monotonic() + 20
    while sum(path.read_bytes().count(MARK.encode()) for path in (folder / "journal").glob("*.seg")) > 1:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert snapshot.newest(folder)[1].tables["event_ids"].rows == 0
    assert not shop.forget(MARK)
def test_one_who_only_asked_is_forgotten_too(shop):
    shop.recommend(Request(user_id=MARK, n=3))
    assert shop.forget(MARK)
    assert traces(shop) == []
    assert not shop.forget(MARK)


def test_what_a_visitor_tells_of_itself_is_not_recorded_but_for_short_labels_of_its_place(shop):
    wish = Request(n=3, events=[SessionEvent(item_id="i1", type="purchase")], context={"place": MARK, "device": "phone", "location": [MARK + "x" * 64], "referrer": 7})
    reply = shop.recommend(wish)
    kept = msgspec.json.decode(shop.decision(reply.request_id).request, type=Request)
    assert kept == Request(n=3, context={"device": "phone"}), "a device, location and referrer: short texts, for features"


def test_what_others_were_shown_stays(shop):
    mine = shop.recommend(Request(session_id="other", n=3))
    live_everywhere(shop)
    shop.forget(MARK)
    assert shop.decision(mine.request_id) is not None


def test_a_user_who_comes_back_is_a_new_one(shop):
    live_everywhere(shop)
    before = shop._ids.users.row(MARK)
    shop.forget(MARK)
    shop.record({"user_id": MARK, "item_id": "i1", "type": "view"})
    assert shop._ids.users.row(MARK) > before
    history, users = shop.interactions(), shop.users()
    assert history.n_users == len(users)
    assert np.diff(history.indptr)[users.index(MARK)] == 1, "rows go by the names, without those that are forgotten"
    assert len(shop._state.histories.row(shop._ids.users.row(MARK)).touched) == 1
