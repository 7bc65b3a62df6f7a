"""The client on the wire: what it sends, when it tries again, and which errors it raises."""

import json
import math
import socket
import time

import pytest

from recengine import errors
from recengine.client import Client, transport
from recengine.errors import BadRequest, BadUsage, RecEngineError, ServerUnreachable, UnknownItem
from recengine.types import Event, Item, Receipt, Request
from tests.unit.scripted import DROP, scripted

RECEIPT = (200, {"stored": 1, "duplicates": 0})
REPLY = (200, {"request_id": "a" * 32, "user_id": "u1", "items": [{"item_id": "i1", "score": 0.5}], "version": "v"})


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(transport, "FIRST_WAIT", 0.001)


def problem(status, code, detail="what came", hint="what to do"):
    return (status, {"type": f"urn:recengine:{code}", "title": "t", "status": status, "detail": detail, "code": code, "hint": hint})


def sent(asked, place=-1):
    return json.loads(asked[place][3])


@pytest.mark.parametrize("trouble", [DROP, (502, b"<html>bad gateway</html>"), problem(503, "store-failed"), problem(429, "bad-request")])
def test_an_event_is_sent_again_with_the_same_event_id(trouble):
    with scripted(trouble, trouble, RECEIPT) as (url, asked), Client(url) as client:
        assert client.record(Event(user_id="u1", item_id="i1", type="click")) == Receipt(stored=1)
    assert len(asked) == 3
    ids = [sent(asked, place)[0]["event_id"] for place in range(3)]
    assert len(set(ids)) == 1
    assert len(ids[0]) == 32


def test_two_events_alike_are_two_events():
    with scripted(RECEIPT) as (url, asked), Client(url) as client:
        client.record([{"user_id": "u1", "item_id": "i1"}] * 2)
        client.record({"user_id": "u1", "item_id": "i1"})
    ids = [event["event_id"] for place in range(2) for event in sent(asked, place)]
    assert len(set(ids)) == 3


def test_an_event_that_has_a_name_or_a_time_keeps_it():
    with scripted(RECEIPT) as (url, asked), Client(url) as client:
        client.record([Event(user_id="u1", item_id="i1", event_id="mine"), {"user_id": "u1", "item_id": "i1", "order": 7}])
    assert sent(asked) == [{"user_id": "u1", "item_id": "i1", "event_id": "mine"}, {"user_id": "u1", "item_id": "i1", "order": 7}]


def test_tries_end_and_the_last_trouble_is_raised():
    with scripted(problem(503, "store-failed", "disk full")) as (url, asked), Client(url, retries=2) as client:
        with pytest.raises(errors.StoreFailed, match="disk full"):
            client.record(Event(user_id="u1", item_id="i1"))
        assert len(asked) == 3


@pytest.mark.parametrize(("status", "code"), [(400, "bad-request"), (401, "some-new-code"), (404, "unknown-item"), (500, "engine-fault"), (504, "x")])
def test_what_will_not_pass_is_not_tried_again(status, code):
    with scripted(problem(status, code)) as (url, asked), Client(url) as client:
        with pytest.raises(RecEngineError):
            client.recommend("u1")
        with pytest.raises(RecEngineError):
            client.record(Event(user_id="u1", item_id="i1"))
        assert len(asked) == 2


@pytest.mark.parametrize("kind", [getattr(errors, name) for name in errors.__all__], ids=lambda kind: kind.code)
def test_a_problem_is_raised_as_the_class_of_its_code(kind):
    with scripted(problem(400, kind.code, "said what", "said how")) as (url, _), Client(url) as client:
        with pytest.raises(kind) as caught:
            client.popular()
        assert type(caught.value) is kind
        assert (caught.value.message, caught.value.hint) == ("said what", "said how")


def test_a_code_of_a_later_version_keeps_its_words():
    with scripted(problem(418, "teapot", "short and stout")) as (url, _), Client(url) as client:
        with pytest.raises(RecEngineError, match=r"418 teapot: short and stout") as caught:
            client.latest()
        assert type(caught.value) is RecEngineError


@pytest.mark.parametrize("body", [b"", b"<html>404</html>", b"\xff\xfe", b"[1]", b'{"code": 3}'])
def test_an_answer_that_is_not_ours_is_named(body):
    with scripted((404, body)) as (url, _), Client(url) as client, pytest.raises(RecEngineError, match="404"):
        client.item("i1")
    with scripted((200, body)) as (url, _), Client(url) as client, pytest.raises(RecEngineError, match="not recengine's"):
        client.item("i1")


def test_a_redirect_is_not_followed_with_the_key():
    with scripted(RECEIPT) as (other, strangers), scripted((302, b"", {"location": other})) as (url, _):
        with Client(url, "secret") as client, pytest.raises(RecEngineError, match="302"):
            client.popular()
        assert strangers == []


def test_retry_after_is_waited_for_but_not_for_ever(monkeypatch):
    with scripted((503, b"", {"retry-after": "1"}), REPLY) as (url, asked), Client(url) as client:
        start = time.monotonic()
        client.recommend("u1")
        assert 0.95 < time.monotonic() - start < 5
        assert len(asked) == 2
    monkeypatch.setattr(transport, "LONGEST_WAIT", 0.01)
    for text in ("9" * 30, "Fri, 31 Dec 2999 23:59:59 GMT", "soon", "-5", "Fri, 31 Dec 1999 23:59:59 GMT"):
        with scripted((503, b"", {"retry-after": text}), REPLY) as (url, _), Client(url) as client:
            start = time.monotonic()
            client.recommend("u1")
            assert time.monotonic() - start < 5


def test_waits_grow_and_differ(monkeypatch):
    waits = []
    monkeypatch.setattr(transport, "FIRST_WAIT", 0.1)
    monkeypatch.setattr(time, "sleep", waits.append)
    for _ in range(2):
        with scripted((503, b"")) as (url, _), Client(url, retries=9) as client, pytest.raises(RecEngineError):
            client.recommend("u1")
    one, other = waits[:9], waits[9:]
    assert all(min(0.05 * 2**n, 5.0) <= wait <= min(0.1 * 2**n, 10.0) for n, wait in enumerate(one))
    assert one[:5] != other[:5]


def test_nobody_there_is_said_with_the_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Client(url, retries=1) as client:
        with pytest.raises(ServerUnreachable, match=url):
            client.recommend("u1")
        assert client.ready() is False


def test_a_server_that_says_nothing_is_left_after_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as deaf, Client(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout=0.1, retries=1) as client:
        start = time.monotonic()
        with pytest.raises(ServerUnreachable):
            client.recommend("u1")
        assert time.monotonic() - start < 5


@pytest.mark.parametrize("name", ["a/b", "..", ".", "a b?c#d%2F", "ж", "a\\b"])
def test_an_id_is_one_segment_of_the_path(name):
    with scripted(REPLY) as (url, asked), Client(url) as client:
        client.recommend(name)
    path = asked[0][1].partition("?")[0]
    head, segment, tail = path.removeprefix("/v1/").split("/")
    assert (head, tail) == ("users", "recommendations")
    assert not set(segment) & set("/?#. ")


def test_only_a_plain_wish_is_asked_by_get():
    with scripted(REPLY) as (url, asked), Client(url, "k") as client:
        client.recommend("u1", 3)
        client.recommend("u1", filter="price < 3")
        client.recommend()
        client.recommend(Request(user_id="u1", n=4))
    assert [(method, path) for method, path, _, _ in asked] == [
        ("GET", "/v1/users/u1/recommendations?n=3"),
        ("POST", "/v1/recommendations"),
        ("POST", "/v1/recommendations"),
        ("GET", "/v1/users/u1/recommendations?n=4"),
    ]
    assert sent(asked, 1) == {"user_id": "u1", "filter": "price < 3"}
    assert {headers["authorization"] for _, _, headers, _ in asked} == {"Bearer k"}


def test_proxies_of_the_environment_are_not_asked(monkeypatch):
    with scripted(REPLY) as (url, _), scripted(REPLY) as (proxy, strangers):
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("ALL_PROXY", proxy)
        with Client(url) as client:
            client.recommend("u1")
        assert strangers == []


@pytest.mark.parametrize(
    "wrong",
    [
        lambda c: c.record(Event(user_id="u1", item_id="i1", value=math.nan)),
        lambda c: c.record({"user_id": "u1", "item_id": "i1", "valu": 3}),
        lambda c: c.record({"user_id": "", "item_id": "i1"}),
        lambda c: c.put_items([Item(item_id="i1", attributes={"price": math.inf})]),
        lambda c: c.put_items([Item(item_id="i1", attributes={"price": {1, object()}})]),
        lambda c: c.put_users([{"item_id": "i1"}]),
        lambda c: c.recommend("u1", diversity=math.nan),
        lambda c: c.recommend("u1", colour="red"),
        lambda c: c.recommend(Request(user_id="u1"), 3),
        lambda c: c.recommend_batch("u1"),
        lambda c: c.item(""),
        lambda c: c.item("\ud800"),
        lambda c: c.rank(["i1", "\ud800"]),
        lambda c: c.session([{"item": "i1"}]),
    ],
)
def test_what_cannot_be_meant_is_refused_before_it_is_sent(wrong):
    with scripted(REPLY) as (url, asked), Client(url) as client:
        with pytest.raises(BadRequest):
            wrong(client)
        assert asked == []


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://x", "http://", "http://x:port", "http://[::1", None])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(BadUsage, match="url"):
        Client(url)


@pytest.mark.parametrize("key", ["", "a\nb", "schlüssel"])
def test_a_key_that_cannot_be_a_header_is_refused_and_not_shown(key):
    with pytest.raises(BadUsage) as caught:
        Client("http://127.0.0.1", key)
    assert not key or key not in str(caught.value)


def test_a_problem_about_an_item_is_the_engines_own():
    with scripted(problem(404, "unknown-item", "item 'x' was never ingested")) as (url, _), Client(url) as client, pytest.raises(UnknownItem):
        client.similar_items("x")


def test_what_an_earlier_try_took_away_is_gone():
    with scripted(DROP, problem(404, "unknown-user")) as (url, _), Client(url) as client:
        client.forget("u1")
    with scripted(problem(404, "unknown-user")) as (url, _), Client(url) as client, pytest.raises(errors.UnknownUser):
        client.forget("u1")
