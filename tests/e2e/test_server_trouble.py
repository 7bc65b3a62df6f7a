"""What the server says in trouble: records that are gone, an engine that closes, values beyond all bounds, long replies."""

import asyncio
import time

import msgspec
import pytest

from recengine import Engine, Request
from recengine.errors import BadRequest
from recengine.server import watch
from recengine.server.app import build
from recengine.server.keys import Keys
from recengine.types.frames import DecisionFrame
from tests.asgi import ask, asked


def test_a_kept_reply_without_its_first_record_is_no_such_reply(door, behind):
    behind._feedback.note((DecisionFrame("f" * 32, 1, "u1", "v", same_as="0" * 32),))
    answer = ask(door, f"/v1/recommendations/{'f' * 32}/explanation")
    assert (answer.status, answer.json["code"]) == (404, "unknown-reply")


def test_an_item_is_explained_under_the_wishes_of_the_reply(door):
    def told(item, **wish):
        reply = ask(door, "/v1/recommendations", "POST", {"user_id": "u1", "n": 3, **wish}).json
        return ask(door, f"/v1/recommendations/{reply['request_id']}/explanation?item_id={item}").json

    plain = ask(door, "/v1/recommendations", "POST", {"user_id": "u1", "n": 50}).json
    item = plain["items"][-1]["item_id"]
    assert told(item)["eligible"]
    assert told(item, deny=[item])["excluded_by"] == ["deny"]
    assert told(item, filter="price < 0")["excluded_by"] == ["filter"]


def test_a_closing_engine_is_unavailable_and_no_defect(shop):
    engine = Engine.open(shop)
    door = build(engine)
    engine.close()
    for method, path, body in (
        ("POST", "/v1/events", {"user_id": "u1", "item_id": "i1"}),
        ("PUT", "/v1/items/i1", {}),
        ("DELETE", "/v1/users/u1", b""),
    ):
        answer = ask(door, path, method, body)
        assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")


DEEP = [[[[["x"]]]]]
BEYOND = [
    {"context": {"a": 2**70}},
    {"context": {"a": -1e16}},
    {"context": {"a": DEEP}},
    {"context": {"a": [["x"]]}},
    {"context": {"a": {"b": 1}}},
    {"context": {"a": "x" * 1001}},
    {"context": {"a": [1] * 101}},
    {"caps": {"brand": 0}},
    {"caps": {"brand": 1001}},
    {"caps": {"brand": 2**70}},
]


@pytest.mark.parametrize("wish", BEYOND, ids=range(len(BEYOND)))
def test_a_value_beyond_its_bounds_is_refused_by_place_at_every_door(door, behind, wish):
    (name,) = wish
    wishes = msgspec.json.encode(wish)  # 2**70 is written as it is
    ranking = b"" if name == "caps" else wishes[:-1] + b',"items":["i1"]}'
    for path, body in (
        ("/v1/recommendations", wishes),
        ("/v1/sessions/recommendations", wishes),
        ("/v1/recommendations/batch", b'{"requests":[' + wishes + b"]}"),
        ("/v1/rankings", ranking),
    ):
        if body:
            answer = ask(door, path, "POST", body)
            assert answer.status == 400, path
            assert f".{name}[" in answer.json["errors"][0]["place"]
    with pytest.raises(BadRequest, match=rf"\$\.{name}\["):
        behind.recommend("u1", **wish)
    with pytest.raises(BadRequest, match=rf"\$\.{name}\["):
        behind.recommend(Request(user_id="u1", **wish))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400], ids=["nan", "inf", "huge"])
def test_a_number_of_the_context_is_finite(behind, value):
    with pytest.raises(BadRequest, match="context"):
        behind.recommend(Request(context={"a": value}))


def test_a_cap_of_the_query_names_its_place(door):
    for most in ("0", "1001", "00001"):
        answer = ask(door, f"/v1/users/u1/recommendations?caps=brand:{most}")
        assert (answer.status, answer.json["errors"][0]["place"]) == (400, "query.caps")
    assert ask(door, "/v1/users/u1/recommendations?caps=brand:1000").status == 200


def test_a_plain_context_is_taken(door):
    wish = {"user_id": "u1", "context": {"a": True, "b": 3, "c": "x", "d": ["x", "y"], "e": [0.5] * 100}}
    assert ask(door, "/v1/recommendations", "POST", wish).status == 200


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/v1/users/u1/recommendations?n=51&explain=true", b""),
        ("GET", "/v1/users/u1/recommendations?n=201", b""),
        ("POST", "/v1/recommendations", b'{"user_id":"u1","n":201}'),
        ("POST", "/v1/sessions/recommendations", b'{"n":51,"explain":true}'),
    ],
)
def test_a_long_reply_holds_nobody(door, behind, monkeypatch, method, target, body):
    reply = behind.reply

    def slowly(*args):
        time.sleep(0.3)
        return reply(*args)

    monkeypatch.setattr(behind, "reply", slowly)
    headers = [("content-type", "application/json")] if body else []

    async def both():
        long = asyncio.create_task(asked(door, target, method, body, headers))
        await asyncio.sleep(0.05)
        done = long.done()
        return done, await long

    started = time.monotonic()
    done, answer = asyncio.run(both())
    assert (done, answer.status) == (False, 200)
    assert time.monotonic() - started >= 0.3


def test_the_metrics_name_the_deployment_that_answers(shop):
    with Engine.open(shop) as engine:
        live = engine.artifacts.current()
        pointer = engine.artifacts.folder / "current"
        pointer.write_text("another\n")  # as another process promotes
        text = ask(build(engine), "/metrics").body.decode()
        pointer.write_text(f"{live}\n")
    assert f'recengine_deployment_info{{version="{live}"}} 1.0' in text


def test_a_deployment_that_could_not_be_loaded_is_tried_again(shop, monkeypatch):
    with Engine.open(shop) as engine:
        old = engine.artifacts.current()
        engine.train(force=True)
        new = engine.artifacts.current()
        engine.promote(old)
        looks = watch.Watch(engine, Keys(shop, "off", "127.0.0.1"))
        folder = engine.artifacts.folder / new
        away = folder.rename(shop / "away")
        (engine.artifacts.folder / "current").write_text(f"{new}\n{old}\n")
        looks.look()
        assert engine.facts()["live"] == old
        away.rename(folder)
        looks.look()
        assert engine.facts()["live"] == old, "not each second: it costs a reading of everything"
        monkeypatch.setattr(looks, "_again", 0.0)
        looks.look()
        assert engine.facts()["live"] == new


def unfit(self, seq, frame):
    raise ZeroDivisionError


@pytest.mark.parametrize("part", ["fold", "keeper"])
def test_a_part_that_ended_with_a_defect_is_not_ready_and_says_so(shop, monkeypatch, part):
    with Engine.open(shop) as engine:
        door = build(engine)
        assert ask(door, "/health/ready").status == 200
        if part == "fold":
            with monkeypatch.context() as breaking:
                breaking.setattr(type(engine._state), "apply", unfit)
                assert ask(door, "/v1/events", "POST", {"user_id": "u1", "item_id": "i1"}).status == 500
        else:
            engine._keeper.close()
        answer = ask(door, "/health/ready")
        assert (answer.status, [place["place"] for place in answer.json["errors"]]) == (503, [part])
