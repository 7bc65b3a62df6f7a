"""What a hostile or broken caller sends: always a problem with a 4xx that names the place, never a 500, nothing stored."""


import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.server.problems import Problem
from tests.asgi import ask

NESTED = b"[" * 20_000
EVENT = b'{"user_id": "u1", "item_id": "i1"%s}'


def event(more):
    return EVENT % (b", " + more)


def item(attributes):
    return b'{"attributes": {%s}}' % attributes


BODIES = [
    # JSON that is none
    ("POST", "/v1/events", b""),
    ("POST", "/v1/events", b"{"),
    ("POST", "/v1/events", b"nonsense"),
    ("POST", "/v1/events", b"\xef\xbb\xbf" + EVENT % b""),
    ("POST", "/v1/events", EVENT % b"" + b"x"),
    ("POST", "/v1/events", EVENT % b"" * 2),
    ("POST", "/v1/events", b"\x00"),
    ("POST", "/v1/events", b"\x1f\x8b\x08\x00\x00\x00\x00\x00"),
    ("POST", "/v1/events", b'{"user_id": "\xff", "item_id": "i1"}'),
    ("POST", "/v1/events", b'{"user_id": "\xc0\x80", "item_id": "i1"}'),
    ("POST", "/v1/events", b'{"user_id": "\\ud800", "item_id": "i1"}'),
    ("POST", "/v1/events", NESTED),
    ("POST", "/v1/events", b'{"a":' * 10_000),
    ("POST", "/v1/events", event(b'"order": ' + NESTED)),
    ("POST", "/v1/events", event(b'"order": ' + b"[" * 900 + b"]" * 900)),
    # the wrong type or size
    ("POST", "/v1/events", b"null"),
    ("POST", "/v1/events", b"1"),
    ("POST", "/v1/events", b'"event"'),
    ("POST", "/v1/events", b"[]"),
    ("POST", "/v1/events", b"[[]]"),
    ("POST", "/v1/events", b"[" + b",".join([EVENT % b""] * 1001) + b"]"),
    ("POST", "/v1/events", b'{"user_id": "u1"}'),
    ("POST", "/v1/events", b'{"user_id": null, "item_id": "i1"}'),
    ("POST", "/v1/events", b'{"user_id": "", "item_id": "i1"}'),
    ("POST", "/v1/events", b'{"user_id": ["u1"], "item_id": "i1"}'),
    ("POST", "/v1/events", b'{"user_id": "%s", "item_id": "i1"}' % (b"u" * 257)),
    ("POST", "/v1/events", b'{"user_id": "%s", "item_id": "i1"}' % ("\u4eba" * 100).encode()),
    ("POST", "/v1/events", event(b'"is_admin": true')),
    ("POST", "/v1/events", event(b'"type": ""')),
    ("POST", "/v1/events", event(b'"type": "%s"' % (b"t" * 65))),
    ("POST", "/v1/events", event(b'"event_id": "%s"' % (b"e" * 300))),
    # text that turns, hides or ends
    *(
        ("POST", "/v1/events", event(b'"user_id": "a%sb"' % mark))
        for mark in (b"\\u0000", b"\\u001b[31m", b"\\n", b"\\u007f", b"\\u0085", b"\\u2028", b"\\u202e", b"\\u2066", b"\\u200f")
    ),
    ("POST", "/v1/events", event(b'"type": "a\\u0000"')),
    ("POST", "/v1/events", event(b'"session_id": "a\\u0000"')),
    ("POST", "/v1/events", event(b'"event_id": "a\\u202e"')),
    # numbers
    ("POST", "/v1/events", event(b'"value": NaN')),
    ("POST", "/v1/events", event(b'"value": Infinity')),
    ("POST", "/v1/events", event(b'"value": 1e999')),
    ("POST", "/v1/events", event(b'"value": 1e10')),
    ("POST", "/v1/events", event(b'"value": 1180591620717411303424')),
    ("POST", "/v1/events", event(b'"value": ' + b"9" * 5000)),
    ("POST", "/v1/events", event(b'"value": "5"')),
    ("POST", "/v1/events", event(b'"order": 1180591620717411303424')),
    ("POST", "/v1/events", event(b'"order": ' + b"9" * 5000)),
    ("POST", "/v1/events", event(b'"order": "yesterday"')),
    ("POST", "/v1/events", event(b'"order": "9999-99-99"')),
    ("POST", "/v1/events", event(b'"order": -5')),
    ("POST", "/v1/events", event(b'"order": true')),
    ("POST", "/v1/events", event(b'"order": {}')),
    # requests
    ("POST", "/v1/recommendations", b'{"n": 0}'),
    ("POST", "/v1/recommendations", b'{"n": -1}'),
    ("POST", "/v1/recommendations", b'{"n": 1.5}'),
    ("POST", "/v1/recommendations", b'{"n": 1180591620717411303424}'),
    ("POST", "/v1/recommendations", b'{"n": 99999999}'),
    ("POST", "/v1/recommendations", b'{"diversity": 2}'),
    ("POST", "/v1/recommendations", b'{"diversity": 1e999}'),
    ("POST", "/v1/recommendations", b'{"filter": "price <"}'),
    ("POST", "/v1/recommendations", b'{"filter": "__import__(\'os\')"}'),
    ("POST", "/v1/recommendations", b'{"filter": "nope < 5"}'),
    ("POST", "/v1/recommendations", b'{"filter": "%s"}' % (b"(" * 9000)),
    ("POST", "/v1/recommendations", b'{"filter": "%s price > 1"}' % (b"not " * 2400)),
    ("POST", "/v1/recommendations", b'{"filter": "%s"}' % (b"x" * 10_001)),
    ("POST", "/v1/recommendations", b'{"caps": {"brand": -1}}'),
    ("POST", "/v1/recommendations", b'{"caps": {"nope": 1}}'),
    ("POST", "/v1/recommendations", b'{"exclude_seen": "all"}'),
    ("POST", "/v1/recommendations", b'{"deadline_ms": -1}'),
    ("POST", "/v1/recommendations", b'{"context": []}'),
    ("POST", "/v1/recommendations/batch", b"{}"),
    ("POST", "/v1/recommendations/batch", b'{"requests": []}'),
    ("POST", "/v1/recommendations/batch", b'{"requests": [%s]}' % b",".join([b"{}"] * 1001)),
    ("POST", "/v1/recommendations/batch", b'{"requests": [{"n": 1}, {"n": 0}]}'),
    ("POST", "/v1/rankings", b'{"items": []}'),
    ("POST", "/v1/rankings", b'{"items": "i1"}'),
    ("POST", "/v1/sessions/recommendations", b'{"events": [{"item_id": 5}]}'),
    ("POST", "/v1/sessions/recommendations", b'{"user_id": "u1"}'),
    # items and users
    ("PUT", "/v1/items/x", b""),
    ("PUT", "/v1/items/x", b"[]"),
    ("PUT", "/v1/items/x%00", item(b"")),
    ("PUT", "/v1/items/x%E2%80%AE", item(b"")),
    ("PUT", "/v1/items/" + "x" * 257, item(b"")),
    ("PUT", "/v1/items/x", b'{"item_id": "y"}'),
    ("PUT", "/v1/items/x", b'{"price": 5}'),
    ("PUT", "/v1/items/x", b'{"available": "yes"}'),
    ("PUT", "/v1/items/x", b'{"valid_from": "never"}'),
    ("PUT", "/v1/items/x", item(b'"price": {"deep": {"er": 1}}')),
    ("PUT", "/v1/items/x", item(b'"price": "cheap"')),
    ("PUT", "/v1/items/x", item(b'"price": 1e999')),
    ("PUT", "/v1/items/x", item(b'"": 1')),
    ("PUT", "/v1/items/x", item(b'"a\\u0000": 1')),
    ("PUT", "/v1/items/x", item(b'"title": "%s"' % (b"t" * 70_000))),
    ("PUT", "/v1/items", b'[{"item_id": "x"}, {"item_id": "y", "attributes": {"price": []}}]'),
    ("PUT", "/v1/items", b"[]"),
    ("PUT", "/v1/items", b"[%s]" % b",".join(b'{"item_id": "m%d"}' % k for k in range(1001))),
    ("PATCH", "/v1/items", b'[{"attributes": {}}]'),
    ("PUT", "/v1/users/x", b'{"attributes": 5}'),
    ("PUT", "/v1/users/%20%0A", b"{}"),
    ("PATCH", "/v1/users", b'[{"user_id": "x", "attributes": {"gender": {"a": 1}}}]'),
]

TARGETS = [
    ("GET", "/v1/users/u1/recommendations?n=0"),
    ("GET", "/v1/users/u1/recommendations?n=-1"),
    ("GET", "/v1/users/u1/recommendations?n=ten"),
    ("GET", "/v1/users/u1/recommendations?n=1180591620717411303424"),
    ("GET", "/v1/users/u1/recommendations?n=" + "9" * 5000),
    ("GET", "/v1/users/u1/recommendations?n="),
    ("GET", "/v1/users/u1/recommendations?n=10001"),
    ("GET", "/v1/users/u1/recommendations?n=1&n=2"),
    ("GET", "/v1/users/u1/recommendations?exclude_sen=false"),
    ("GET", "/v1/users/u1/recommendations?__proto__=1"),
    ("GET", "/v1/users/u1/recommendations?explain=perhaps"),
    ("GET", "/v1/users/u1/recommendations?diversity=nan"),
    ("GET", "/v1/users/u1/recommendations?diversity=inf"),
    ("GET", "/v1/users/u1/recommendations?deadline_ms=-1"),
    ("GET", "/v1/users/u1/recommendations?caps=brand"),
    ("GET", "/v1/users/u1/recommendations?caps=brand:x"),
    ("GET", "/v1/users/u1/recommendations?caps=brand:9999999"),
    ("GET", "/v1/users/u1/recommendations?filter=%FF"),
    ("GET", "/v1/users/u1/recommendations?filter=" + "x" * 10_001),
    ("GET", "/v1/users/u1/recommendations?filter=%00"),
    ("GET", "/v1/users/u1/recommendations?" + "&".join(f"deny=i{k}" for k in range(1001))),
    ("GET", "/v1/users/%00/recommendations"),
    ("GET", "/v1/users/%E2%80%AEu/recommendations"),
    ("GET", "/v1/users/%ED%A0%80/recommendations"),
    ("GET", "/v1/users/\xff/recommendations"),
    ("GET", "/v1/users/" + "u" * 257 + "/recommendations"),
    ("GET", "/v1/users//recommendations"),
    ("GET", "/v1/items/popular?n=0"),
    ("GET", "/v1/items/popular?category=" + "c" * 300),
    ("GET", "/v1/items/trending?category=bags"),
    ("GET", "/v1/items?limit=1001"),
    ("GET", "/v1/items?after=nope"),
    ("GET", "/v1/items?after=" + "A" * 5000),
    ("GET", "/v1/users?after=%2E%2E%2F"),
    ("GET", "/v1/recommendations/%0A/explanation"),
    ("GET", "/v1/recommendations/x/explanation?item_id=" + "i" * 300),
    ("GET", "/v2/users/u1/recommendations"),
    ("GET", "/v1/"),
    ("GET", "/../../etc/passwd"),
    ("GET", "/v1/users/u1/recommendations/x"),
    ("POST", "/v1/users/u1/recommendations"),
    ("DELETE", "/v1/events"),
    ("BREW", "/v1/events"),
    ("TRACE", "/"),
]


def stored(behind):
    facts = behind.facts()
    return {name: facts[name] for name in ("users", "items", "last event", "events stored")}


def refused(answer):
    assert 400 <= answer.status < 500, (answer.status, answer.body[:500])
    problem = msgspec.json.decode(answer.body, type=Problem)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem.status == answer.status
    assert problem.detail
    assert problem.code
    assert len(answer.body) < 5_000
    return problem


@pytest.mark.parametrize(("method", "target", "body"), BODIES, ids=range(len(BODIES)))
def test_a_hostile_body_is_refused_and_stores_nothing(behind, door, method, target, body):
    before = stored(behind)
    problem = refused(ask(door, target, method, body))
    assert problem.status in {400, 404, 413}
    assert stored(behind) == before


@pytest.mark.parametrize(("method", "target"), TARGETS, ids=range(len(TARGETS)))
def test_a_hostile_path_or_query_is_refused(behind, door, method, target):
    before = stored(behind)
    refused(ask(door, target, method))
    assert stored(behind) == before


@pytest.mark.parametrize(
    "header",
    [
        ("content-encoding", "gzip"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-for", "127.0.0.1\x1b[31m"),
        ("accept", "text/html;q=nonsense,,;"),
        ("cookie", "a=" + "b" * 5000),
        ("range", "bytes=0-1"),
        ("host", "\xff\xfe"),
        ("x-http-method-override", "DELETE"),
        ("authorization", "\xff" * 10),
        ("if-none-match", "*"),
    ],
    ids=lambda header: header[0],
)
def test_a_hostile_header_changes_nothing(door, header):
    answer = ask(door, "/v1/users/u1/recommendations?n=2", headers=[header])
    assert answer.status in {200, 400}
    if answer.status == 200:
        assert len(answer.json["items"]) == 2
        assert answer.headers["content-type"] == "application/json"


def test_a_body_of_a_get_is_not_read(door):
    assert ask(door, "/v1/items/popular", body=b"{" * 1_000_000).status == 200


ROUTES = [
    "/v1/events",
    "/v1/recommendations",
    "/v1/recommendations/batch",
    "/v1/sessions/recommendations",
    "/v1/rankings",
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
FIELDS = st.sampled_from(
    ["user_id", "item_id", "type", "value", "order", "n", "filter", "items", "events", "requests", "caps", "context", "pins", "x"]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS | st.text(max_size=5), inner, max_size=4), max_leaves=12
)


@given(route=st.sampled_from(ROUTES), value=VALUES)
def test_whatever_json_is_sent_is_never_our_fault(door, route, value):
    try:
        body = msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        return
    assert ask(door, route, "POST", body).status in {200, 201, 400}


@given(route=st.sampled_from(ROUTES), body=st.binary(min_size=1, max_size=60))
def test_whatever_bytes_are_sent_are_never_our_fault(door, route, body):
    assert ask(door, route, "POST", body).status in {200, 201, 400}


@given(
    path=st.lists(st.binary(max_size=6), max_size=4),
    query=st.binary(max_size=20),
    method=st.sampled_from(["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]),
)
def test_whatever_path_is_asked_is_never_our_fault(door, path, query, method):
    target = b"/v1/users/" + b"/".join(path) + b"?" + query
    answer = ask(door, target.decode("latin-1"), method)
    assert answer.status < 500
