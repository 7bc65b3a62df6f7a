"""The door: keys, request ids, kept replies, limits of size and time, before anything else of the server is asked."""

import asyncio
import io
import json
from contextlib import redirect_stderr

import pytest

from recengine.config import Server
from recengine.errors import BadRequest
from recengine.server.door import Door
from recengine.server.keys import Keys, create
from recengine.server.metrics import Counts
from recengine.server.scope import BODY
from tests.asgi import ask, asked

EVERYWHERE = "0.0.0.0"  # noqa: S104


class Inner:
    """A small ASGI application behind the door: says what reached it."""

    def __init__(self):
        self.reached = []

    async def __call__(self, scope, receive, send):
        message = await receive() if scope["method"] == "POST" else {}
        self.reached.append((scope["path"], scope.get(BODY), message.get("body")))
        if scope["path"] == "/breaks":
            raise ZeroDivisionError("secret detail")
        if scope["path"] == "/breaks-late":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise ZeroDivisionError("secret detail")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"inner"})


async def slow(scope):
    return None


@pytest.fixture
def make(tmp_path):
    async def nothing():
        return None

    def make(inner=None, cached=lambda key: None, quick=slow, **settings):
        config = Server(**settings)
        counts = Counts()
        keys = Keys(tmp_path, config.keys, config.host)
        door = Door(
            inner or Inner(),
            cached=cached,
            quick=quick,
            config=config,
            keys=keys,
            counts=counts,
            opened=nothing,
            closed=nothing,
        )
        door.counts = counts
        return door

    return make


def test_without_keys_a_loopback_server_is_open(make):
    assert ask(make(), "/x").body == b"inner"


@pytest.mark.parametrize("host", [EVERYWHERE, "192.0.2.1", "::", "shop.example"])
def test_a_server_that_others_reach_needs_a_key_even_where_none_exists(make, host):
    answer = ask(make(host=host), "/v1/items")
    assert answer.status == 401
    assert answer.json["code"] == "no-api-key"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_key_opens_and_nothing_else_does(make, tmp_path):
    key = create(tmp_path)
    other = create(tmp_path.parent)
    door = make()  # auto: there is a key now, so loopback needs it too
    wrong = ["", "x", key[:-1], key + "x", key.upper(), other, key[:11] + "_" + "A" * 43, "rk_", "\xff" * 50]
    for token in wrong:
        for header in (("authorization", f"Bearer {token}"), ("x-api-key", token), ("authorization", token)):
            assert ask(door, "/v1/x", headers=[header]).status == 401, header
    assert ask(door, "/v1/x", headers=[("authorization", f"Basic {key}")]).status == 401
    for header in (("authorization", f"Bearer {key}"), ("authorization", f"bearer {key}"), ("x-api-key", key)):
        assert ask(door, "/v1/x", headers=[header]).status == 200


def test_only_health_is_open_and_the_path_must_be_exact(make, tmp_path):
    create(tmp_path)
    door = make()
    assert ask(door, "/health/live").status == ask(door, "/health/ready").status == 200
    for path in ("/", "/metrics", "/docs", "/openapi.json", "/health", "/health/live/", "//health/live", "/health/%6cive", "/v1/items"):
        assert ask(door, path).status == 401, path


def test_a_kept_reply_is_not_given_without_a_key(make, tmp_path):
    create(tmp_path)
    asked_for = []
    door = make(cached=asked_for.append)
    assert ask(door, "/v1/users/u/recommendations").status == 401
    assert asked_for == []


def test_a_kept_reply_is_answered_without_the_application(make):
    inner, keys = Inner(), []

    def cached(key):
        keys.append(key)
        return b'{"kept":1}' if b"n=3" in key else None

    door = make(inner, cached)
    answer = ask(door, "/v1/users/a%2Fb/recommendations?n=3")
    assert (answer.status, answer.body) == (200, b'{"kept":1}')
    assert answer.headers["content-length"] == "10"
    assert answer.headers["content-type"] == "application/json"
    assert inner.reached == []
    assert keys == [b"GET /v1/users/a%2Fb/recommendations?n=3"]
    ask(door, "/v1/users/u/recommendations?n=4")
    ask(door, "/v1/users/u/recommendations?n=3", method="POST", body=b"{}")
    assert len(inner.reached) == 2
    assert sum(number for (_, route, _), number in door.counts.answered.items() if route == "/v1/users/{user_id}/recommendations") == 2


def test_a_request_id_is_taken_over_where_it_is_one_and_made_otherwise(make):
    door = make()
    assert ask(door, "/x", headers=[("x-request-id", "abc-1:2.3_4")]).headers["x-request-id"] == "abc-1:2.3_4"
    made = set()
    for bad in ("", "a b", "x" * 129, 'a"b', "a\x00b", "é"):
        name = ask(door, "/x", headers=[("x-request-id", bad)]).headers["x-request-id"]
        assert name != bad
        made.add(name)
    assert len(made) == 6
    assert ask(door, "/%ff", headers=[("x-request-id", "mine")]).json["instance"].endswith(":mine")


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("/v1/users/%00/recommendations", "path"),
        ("/v1/users/a%0Ab", "path"),
        ("/v1/users/%7f", "path"),
        ("/v1/users/%c2%85", "path"),
        ("/v1/users/%ff", "path"),
        ("/v1/users/\xff", "path"),
        ("/v1/users/%ed%a0%80", "path"),
        ("/v1/users/\x01", "path"),
        ("/v1/items?after=%ff", "query"),
        ("/v1/items?after=\xc3", "query"),
    ],
)
def test_a_path_that_is_no_text_is_refused_by_name(make, target, place):
    inner = Inner()
    answer = ask(make(inner), target)
    assert answer.status == 400
    assert answer.json["errors"][0]["place"] == place
    assert inner.reached == []


def test_an_encoded_slash_stays_inside_its_segment(make):
    inner = Inner()
    ask(make(inner), "/v1/users/a%2Fb%2F/c")
    assert inner.reached[0][0] == "/v1/users/a\x1fb\x1f/c"


def test_a_body_comes_whole_whatever_its_chunks(make):
    inner = Inner()
    assert ask(make(inner), "/v1/events", "POST", body=[b'{"a"', b"", b":1", b"}"]).status == 200
    assert inner.reached == [("/v1/events", b'{"a":1}', b'{"a":1}')]


@pytest.mark.parametrize(
    ("path", "limit"), [("/v1/recommendations", 2048), ("/v1/events", 4096), ("/v1/items/", 4096), ("/v1/items/x", 2048)]
)
def test_a_body_beyond_the_limit_of_its_route_is_refused(make, path, limit):
    inner = Inner()
    door = make(inner, body_limit=2048, bulk_body_limit=4096)
    exact, over = b" " * limit, b" " * (limit + 1)
    assert ask(door, path, "POST", body=exact, headers=[("content-length", str(limit))]).status == 200
    declared = ask(door, path, "POST", body=b"{}", headers=[("content-length", str(limit + 1))])
    undeclared = ask(door, path, "POST", body=over)
    lying = ask(door, path, "POST", body=over, headers=[("content-length", "2")])
    chunked = ask(door, path, "POST", body=[over[:1000]] * 6)
    assert [a.status for a in (declared, undeclared, lying, chunked)] == [413] * 4
    assert declared.json["code"] == "body-too-large"
    assert str(limit) in declared.json["detail"]
    assert len(inner.reached) == 1


@pytest.mark.parametrize("length", ["-1", "1e9", "0x10", "\xb2", "9" * 5000])
def test_a_length_that_is_none_never_breaks(make, length):
    status = ask(make(), "/v1/events", "POST", body=b"{}", headers=[("content-length", length)]).status
    assert status == (413 if length[0] == "9" else 200)


def test_a_slow_body_is_given_up_and_holds_nobody(make):
    inner = Inner()
    door = make(inner, body_timeout=0.1)

    async def both():
        slow = asyncio.create_task(asked(door, "/v1/events", "POST", [b"{", b"}"], pauses=[0, 5]))
        quick = await asked(door, "/x")
        return quick, await slow

    quick, slow = asyncio.run(both())
    assert quick.status == 200
    assert slow.status == 408
    assert slow.json["code"] == "slow-body"
    assert len(inner.reached) == 1


def test_a_caller_that_hangs_up_leaves_nothing(make):
    inner = Inner()
    door = make(inner)
    answer = ask(door, "/v1/events", "POST", body=[b'{"a":1}'], gone=True)
    assert (answer.status, answer.json["errors"][0]["place"]) == (400, "body")
    assert inner.reached == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/jsonx"])
def test_a_body_that_does_not_say_json_is_refused(make, kind):
    """So that no page of a browser can write to a server on this machine without asking it first."""
    answer = ask(make(), "/v1/events", "POST", body=b"{}", headers=[("content-type", kind)])
    assert answer.status == 415
    assert ask(make(), "/v1/events", "POST", body=b"{}", headers=[("content-type", "application/JSON; charset=utf-8")]).status == 200


def test_what_breaks_inside_says_nothing_outside_and_all_in_the_log(make):
    log = io.StringIO()
    with redirect_stderr(log):
        answer = ask(make(), "/breaks", headers=[("x-request-id", "r1"), ("authorization", "Bearer rk_secret")])
    assert answer.status == 500
    assert answer.json["code"] == "engine-fault"
    assert b"secret" not in answer.body
    assert b"Zero" not in answer.body
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["fault", "request"]
    assert "ZeroDivisionError" in lines[0]["trace"]
    assert all(line["request_id"] == "r1" for line in lines)
    assert "rk_secret" not in log.getvalue()


def test_what_breaks_after_its_answer_began_is_passed_on(make):
    with redirect_stderr(io.StringIO()), pytest.raises(ZeroDivisionError):
        ask(make(), "/breaks-late")


def test_a_line_is_written_for_every_request_only_where_it_is_wished(make):
    quiet, loud = io.StringIO(), io.StringIO()
    with redirect_stderr(quiet):
        ask(make(), "/x")
    with redirect_stderr(loud):
        ask(make(access_log=True), '/x"%22%0A\x1b[31m?q=1', headers=[("x-api-key", "rk_secret")])
    assert quiet.getvalue() == ""
    (line,) = loud.getvalue().splitlines()
    assert json.loads(line)["path"] == '/x"%22%0A\x1b[31m'
    assert json.loads(line)["status"] == 400
    assert "secret" not in line
    assert "\x1b" not in line


def test_a_slow_request_is_logged(make):
    log = io.StringIO()
    with redirect_stderr(log):
        ask(make(slow_ms=0), "/x")
    assert json.loads(log.getvalue())["level"] == "warning"


def test_what_callers_invent_does_not_become_a_label(make):
    door = make()
    for k in range(50):
        ask(door, f"/invented/{k}", method=f"M{k}", headers=[("x-request-id", f"r{k}")])
    assert door.counts.answered == {("other", "none", 200): 50}
    assert list(door.counts.took) == ["none"]


def test_what_is_refused_of_the_most_asked_route_is_counted_under_it(make, tmp_path):
    async def refuses(scope):
        raise BadRequest("n: too many")

    door = make(quick=refuses)
    ask(door, "/v1/users/u/recommendations?n=0")
    ask(door, "/v1/users/%FF/recommendations")
    create(tmp_path)
    door._keys.reload()
    ask(door, "/v1/users/u/recommendations")
    hot = "/v1/users/{user_id}/recommendations"
    assert door.counts.answered == {("GET", hot, 400): 2, ("GET", hot, 401): 1}


@pytest.mark.parametrize("path", ["/v1/users/recommendations", "/v1/users//recommendations", "/v1/users/a/b/recommendations"])
def test_a_path_that_only_looks_like_it_is_not(make, path):
    door = make()
    ask(door, path)
    assert door.counts.answered == {("GET", "none", 200): 1}


def test_health_is_asked_by_its_head_too(make):
    inner = Inner()
    door = make(inner)
    for path in ("/health/live", "/health/ready"):
        answer = ask(door, path, "HEAD")
        assert (answer.status, answer.body) == (200, b"")
    assert {key[0] for key in door.counts.answered} == {"HEAD"}


def test_websockets_are_closed(make):
    sent = []

    async def send(message):
        sent.append(message["type"])

    asyncio.run(make()({"type": "websocket"}, None, send))
    assert sent == ["websocket.close"]
