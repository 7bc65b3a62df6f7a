"""The quick way to the handler and Litestar's own: one answer, whatever the query says."""

import shutil

import pytest

from recengine import Engine
from recengine.server.app import build
from tests.asgi import ask

QUERIES = (
    "",
    "n=3",
    "n=03",
    "n=0",
    "n=x",
    "n=1e2",
    "n=",
    "n=3&n=4",
    "m=3",
    "explain=true",
    "explain=1",
    "explain=yes",
    "explain=",
    "filter=price%20%3C%2050",
    "filter=price+%3C+50&n=4",
    "filter=",
    "filter=nonsense(",
    "exclude_seen=false",
    "exclude_seen=click&exclude_seen=purchase",
    "exclude_seen=",
    "exclude_seen=never-heard-of",
    "deny=i1&deny=i2&pins=i5&caps=brand:2&diversity=0.5",
    "allow=i1&allow=i2&allow=i2",
    "caps=brand",
    "diversity=2",
    "diversity=nan",
    "deadline_ms=60000",
    "deadline_ms=0",
    "session_id=s1",
    "categories_any=bags&categories_any=hats&categories_none=shoes",
    "user_id=u2",
    "request=1",
    "n=%FF",
    "n=3&",
    "&&n=3",
    "n",
)
USERS = ("u1", "u2", "nobody", "a%20b", "a%2Fb", "%C3%A9", "a/b", "", "%00", "x" * 300, "%FF")


async def nothing(scope):
    return None


@pytest.fixture(scope="module")
def doors(_trained, tmp_path_factory):
    """The same engine behind a door with the quick way, and behind one without."""
    path = shutil.copytree(_trained, tmp_path_factory.mktemp("quick") / "shop")
    with Engine.open(path) as opened:
        quick, plain = build(opened), build(opened)
        plain._quick = nothing
        yield opened, quick, plain


def told(door, engine, target):
    """Ask for an answer that is computed, and take from it what differs each time."""
    engine._replies.clear()
    answer = ask(door, target, headers=[("x-request-id", "same")])
    body = answer.json if answer.body else None
    if isinstance(body, dict):
        body.pop("request_id", None)
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status, headers, body


@pytest.mark.parametrize("query", QUERIES)
def test_the_quick_way_answers_each_query_as_litestar_does(doors, query):
    engine, quick, plain = doors
    target = f"/v1/users/u1/recommendations{'?' if query else ''}{query}"
    assert told(quick, engine, target) == told(plain, engine, target)


@pytest.mark.parametrize("user", USERS)
def test_the_quick_way_takes_each_id_as_litestar_does(doors, user):
    engine, quick, plain = doors
    target = f"/v1/users/{user}/recommendations"
    assert told(quick, engine, target) == told(plain, engine, target)


def test_what_is_right_goes_the_quick_way(doors):
    _, quick, _ = doors
    taken = []
    way = quick._quick

    async def watched(scope):
        taken.append(await way(scope))
        return taken[-1]

    quick._quick = watched
    for query in ("", "?n=3", "?deny=i1&deny=i2&explain=true", "?n=0"):
        ask(quick, f"/v1/users/u1/recommendations{query}")
    quick._quick = way
    assert [body is not None for body in taken] == [True, True, True, False]


def test_an_answer_of_the_quick_way_is_kept(doors):
    engine, quick, _ = doors
    engine._replies.clear()
    hits = engine._replies.hits
    first, second = (ask(quick, "/v1/users/u1/recommendations?n=4").json for _ in range(2))
    assert engine._replies.hits == hits + 1
    assert first.pop("request_id") != second.pop("request_id")
    assert first == second


def test_the_quick_way_is_counted_under_its_route(doors):
    _, quick, plain = doors
    counts = [door._counts.answered.copy() for door in (quick, plain)]
    for door in (quick, plain):
        ask(door, "/v1/users/u7/recommendations?n=2")
    for door, before in zip((quick, plain), counts, strict=True):
        new = {key: n for key, n in door._counts.answered.items() if n != before.get(key, 0)}
        assert list(new) == [("GET", "/v1/users/{user_id}/recommendations", 200)]
