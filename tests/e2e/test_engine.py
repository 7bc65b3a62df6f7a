"""The engine as an application embeds it: real store, real models, no mocks."""

import shutil
import threading

import msgspec
import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from recengine import Engine, Request
from recengine.errors import (
    BadRequest,
    UnknownItem,
    UnknownUser,
)
from recengine.store.backup import backup, restore


def without_name(reply):
    return msgspec.structs.replace(reply, request_id="")


def test_a_warm_user_gets_full_personal_reasoned_replies(engine):
    reply = engine.recommend("u2", n=10, explain=True)
    assert len(reply.items) == 10
    assert not reply.cold
    assert not reply.degraded
    assert all(0 < line.score < 1 for line in reply.items)
    assert all(line.reasons for line in reply.items)
    assert {name for line in reply.items for name in line.contributions} == {
        "als", "item_knn", "user_knn", "popularity", "calibration"
    }  # fmt: skip


def test_unknown_and_absent_users_are_cold(engine):
    for user in ("who?", None, "u121"):
        reply = engine.recommend(user, n=7)
        assert reply.cold
        assert [line.reason for line in reply.items] == ["cold_start"] * 7


def test_batch_equals_one_by_one(engine):
    users = [f"u{k}" for k in range(125)] + ["who?"]
    together = engine.recommend_batch(users, n=8)
    assert [without_name(reply) for reply in together] == [without_name(engine.recommend(user, n=8)) for user in users]


def test_wishes_are_typed_and_named(engine):
    with pytest.raises(BadRequest, match=r"\$\.n"):
        engine.recommend("u1", n="ten")
    with pytest.raises(BadRequest, match="colour"):
        engine.recommend("u1", colour="red")
    with pytest.raises(BadRequest, match="user_id"):
        engine.recommend_batch([3, 4])
    with pytest.raises(BadRequest, match=r"\$\.user_id"):
        engine.recommend(3)


def test_filters_hold(engine):
    reply = engine.recommend("u2", n=20, filter='category == "hats" and price < 60')
    assert reply.items
    assert all(int(line.item_id[1:]) >= 40 for line in reply.items)


def test_similar_items_and_users(engine):
    items = engine.similar_items("i3", n=5)
    assert len(items) == 5
    assert "i3" not in {line.item_id for line in items}
    assert sum(int(line.item_id[1:]) < 40 for line in items) >= 4
    users = engine.similar_users("u2", n=6)
    assert "u2" not in dict(users)
    assert sum(int(name[1:]) % 2 == 0 for name, _ in users) >= 5
    with pytest.raises(UnknownItem, match="nothing"):
        engine.similar_items("nothing")
    with pytest.raises(UnknownUser, match="nobody"):
        engine.similar_users("nobody")


def test_rankings(engine):
    assert len(engine.popular(5)) == 5
    assert all(int(line.item_id[1:]) >= 40 for line in engine.popular(5, category="hats"))
    assert len(engine.trending(3)) == 3
    assert len(engine.latest(4)) == 4
    with pytest.raises(BadRequest, match="bags"):
        engine.popular(5, category="boats")


def test_nothing_explains_itself_and_what_has_no_say_gives_no_reasons(engine):
    for user in ("u2", "u3", "u8"):
        for item in (f"i{k}" for k in range(80)):
            answer = engine.explain(user, item)
            assert item not in {reason.item_id for reason in answer.reasons}
            if not any(answer.contributions[name] for name in ("als", "item_knn", "user_knn")):
                assert "because_of" not in {reason.kind for reason in answer.reasons}


def test_many_kinds_of_lists_of_users_are_taken(engine):
    want = [without_name(reply) for reply in engine.recommend_batch(["u1", "u2"])]
    for users in ((u for u in ("u1", "u2")), np.array(["u1", "u2"]), ("u1", "u2")):
        assert [without_name(reply) for reply in engine.recommend_batch(users, n=np.int64(10))] == want
    assert engine.recommend_batch([]) == []


def test_explanations(engine):
    top = engine.recommend("u2", n=1, diversity=0.0).items[0]
    why = engine.explain("u2", top.item_id)
    assert why.eligible
    assert why.score == pytest.approx(top.score)
    assert why.reasons[0].text
    seen = next(item for item in (f"i{k}" for k in range(80)) if "seen" in engine.explain("u2", item).excluded_by)
    assert seen not in {line.item_id for line in engine.recommend("u2", n=80).items}


def test_every_reply_leaves_a_decision_record(shop):
    with Engine.open(shop) as engine:
        reply = engine.recommend("u2", n=4)
        record = engine.decision(reply.request_id)
    assert record.items == tuple(line.item_id for line in reply.items)
    assert record.user_id == "u2"
    assert set(record.times) >= {"context", "features", "eligibility", "candidates", "scoring", "ensemble", "diversity"}
    with Engine.open(shop) as engine:
        assert engine.decision(reply.request_id) == record, "records outlive the process"


def test_new_events_count_at_once_and_after_a_restart(shop):
    fresh = [{"user_id": "newcomer", "item_id": f"i{k}", "type": "purchase", "timestamp": 1_760_000_000 + k} for k in range(8)]
    with Engine.open(shop) as engine:
        assert engine.recommend("newcomer").cold
        engine.ingest(events=fresh)
        before = engine.recommend("newcomer", n=10, diversity=0.0)
        assert not before.cold
        shown = [int(line.item_id[1:]) for line in before.items]
        assert not set(shown) & set(range(8)), "bought items are seen"
        assert sum(item < 40 for item in shown) >= 8, "the taste of eight purchases shows"
        assert before.items[0].contributions["als"] != 0, "folded in without retraining"
        again = engine.ingest(events=fresh)
        assert sum(source.stored for source in again.sources) == 0
    with Engine.open(shop) as engine:
        after = engine.recommend("newcomer", n=10, diversity=0.0)
    assert without_name(after) == without_name(before)


def test_a_known_users_new_taste_is_folded_in_without_retraining(shop):
    """u2 likes the first half; after buying in the second its vector must move there, and only its."""
    fresh = [{"user_id": "u2", "item_id": f"i{k}", "type": "purchase", "timestamp": 1_760_000_000 + k} for k in range(50, 62)]
    with Engine.open(shop) as engine:
        said = {user: engine.explain(user, "i70").contributions["als"] for user in ("u2", "u4")}
        engine.ingest(events=fresh)
        assert engine.explain("u2", "i70").contributions["als"] > said["u2"]
        assert engine.explain("u4", "i70").contributions["als"] == said["u4"]


def test_items_that_came_after_training_can_be_shown(shop):
    with Engine.open(shop) as engine:
        engine.ingest(items=[{"item_id": "brand new", "title": "New", "category": "hats", "brand": "b0", "price": 1.0}])
        assert engine.latest(1)[0].item_id == "brand new"
        reply = engine.recommend("u1", n=81, exclude_seen=False, diversity=0.0)
        assert "brand new" in {line.item_id for line in reply.items}
        pinned = engine.recommend("u1", n=3, pins=("brand new",))
        assert pinned.items[0].item_id == "brand new"


def test_an_item_that_sold_out_is_gone_at_once(shop):
    with Engine.open(shop) as engine:
        top = engine.recommend("u1", n=1).items[0].item_id
        engine.ingest(items=[{"item_id": top, "available": False}])
        assert top not in {line.item_id for line in engine.recommend("u1", n=80, exclude_seen=False).items}


def test_threads_may_ask_while_one_ingests_and_trains(shop):
    problems = []
    done = threading.Event()

    def ask(user):
        while not done.is_set():
            try:
                reply = engine.recommend(user, n=10)
                assert len(reply.items) == 10
                assert len({line.item_id for line in reply.items}) == 10
            except BaseException as err:  # noqa: BLE001 - whatever it is, the test must name it
                problems.append(err)
                return

    with Engine.open(shop) as engine:
        askers = [threading.Thread(target=ask, args=(f"u{k}",)) for k in range(4)]
        for asker in askers:
            asker.start()
        for k in range(5):
            engine.ingest(events=[{"user_id": f"u{k}", "item_id": f"i{k}", "type": "view", "timestamp": 1_760_000_000 + k}])
        engine.train()
        done.set()
        for asker in askers:
            asker.join()
    assert not problems


def test_training_again_and_rolling_back(shop):
    with Engine.open(shop) as engine:
        first = engine.recommend("u2").version
        second = engine.train().version
        assert engine.recommend("u2").version == second
        assert engine.rollback() == first
        assert engine.recommend("u2").version == first
        engine.promote(second)
        assert engine.recommend("u2").version == second


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_exports_hold_every_user_and_appear_whole(engine, tmp_path, ending):
    target = tmp_path / f"all{ending}"
    report = engine.export(target, n=3)
    if ending == ".parquet":
        table = pq.read_table(target)
    elif ending == ".csv":
        table = pyarrow.csv.read_csv(target)
    else:
        table = pyarrow.Table.from_pylist([msgspec.json.decode(line) for line in target.read_bytes().splitlines()])
    assert table.num_rows == report.rows == 3 * 125
    assert not report.degraded
    assert table.column_names == ["user_id", "rank", "item_id", "score", "reason"]
    assert [p.name for p in tmp_path.iterdir()] == [target.name], "nothing half-written beside it"


def test_an_export_of_listed_users_knows_them_only(engine, tmp_path):
    engine.export(tmp_path / "two.csv", users=["u1", "stranger"], n=2)
    assert set(pyarrow.csv.read_csv(tmp_path / "two.csv")["user_id"].to_pylist()) == {"u1", "stranger"}
    with pytest.raises(BadRequest, match="xlsx"):
        engine.export(tmp_path / "all.xlsx")


def test_backup_and_restore_answer_the_same(shop, tmp_path):
    with Engine.open(shop) as engine:
        before = engine.recommend("u5", n=9)
    backup(shop, tmp_path / "copy")
    shutil.rmtree(shop)
    restore(tmp_path / "copy", tmp_path / "again")
    with Engine.open(tmp_path / "again") as engine:
        assert without_name(engine.recommend("u5", n=9)) == without_name(before)


def test_threads_may_name_items_that_an_ingest_just_brought(shop):
    problems = []
    done = threading.Event()

    def ask():
        while not done.is_set():
            try:
                names = tuple(f"new{k}" for k in range(60))
                engine.recommend("u1", n=5, pins=names, deny=names[:3])
                engine.recommend("u1", n=5, allow=(*names, "i1", "i2"))
            except BaseException as err:  # noqa: BLE001 - whatever it is, the test must name it
                problems.append(err)
                return

    with Engine.open(shop) as engine:
        asker = threading.Thread(target=ask)
        asker.start()
        for k in range(60):
            engine.ingest(items=[{"item_id": f"new{k}", "title": "new", "category": "hats", "brand": "b1", "price": 1.0}])
        done.set()
        asker.join()
    assert not problems


def test_late_events_are_served_as_a_restart_would(shop):
    late = [{"user_id": "u4", "item_id": f"i{k}", "type": "view", "timestamp": 1_700_000_000 + k} for k in range(70, 76)]
    with Engine.open(shop) as engine:
        engine.ingest(events=late)
        before = engine.recommend("u4", n=20)
    with Engine.open(shop) as engine:
        assert without_name(engine.recommend("u4", n=20)) == without_name(before)


def test_titles_of_unknown_items_are_their_ids(engine):
    assert engine.titles(["i3", "nope"]) == ["Thing number 3", "nope"]


def test_a_backup_of_an_engine_in_use_restores(shop, tmp_path):
    with Engine.open(shop) as engine:
        before = engine.recommend("u5", n=9)
        engine.backup(tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "again")
    with Engine.open(tmp_path / "again") as engine:
        assert without_name(engine.recommend("u5", n=9)) == without_name(before)


def test_a_request_object_is_taken_whole(engine):
    reply = engine.recommend(Request(user_id="u3", n=2, deny=("i1",)))
    assert reply.user_id == "u3"
    assert len(reply.items) == 2


def test_scores_are_finite_numbers(engine):
    for reply in engine.recommend_batch([f"u{k}" for k in range(50)], n=50):
        assert np.isfinite([line.score for line in reply.items]).all()
