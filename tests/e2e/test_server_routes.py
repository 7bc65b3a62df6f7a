"""Every route over a real engine, through the door, without a socket: what comes back, and what it changed."""


import msgspec
import pytest

from recengine.server.routes import HANDLERS
from recengine.types import Explanation, Item, Receipt, Response, User
from tests.asgi import ask


def reply(answer):
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/json"
    return msgspec.json.decode(answer.body, type=Response)


def shown(response):
    return [item.item_id for item in response.items]


def bare(response):
    return msgspec.structs.replace(response, request_id="")


# ---------------------------------------------------------------------------------------------------- recommendations


def test_a_user_is_answered_as_the_library_answers(door, behind):
    got = reply(ask(door, "/v1/users/u1/recommendations?n=5"))
    assert bare(got) == bare(behind.recommend("u1", 5))
    assert len(got.items) == 5


def test_every_wish_of_the_query_reaches_the_engine(door, behind):
    target = (
        "/v1/users/u2/recommendations?n=7&filter=price%20%3C%2050&exclude_seen=purchase&exclude_seen=click&categories_any=bags"
        "&categories_any=hats&categories_none=shoes&deny=i1&deny=i2&pins=i5&caps=brand:2&diversity=0.5&explain=true"
        "&deadline_ms=60000&session_id=s1"
    )
    got = reply(ask(door, target))
    wishes = {
        "filter": "price < 50",
        "exclude_seen": ("purchase", "click"),
        "categories_any": ("bags", "hats"),
        "categories_none": ("shoes",),
        "deny": ("i1", "i2"),
        "pins": ("i5",),
        "caps": {"brand": 2},
        "diversity": 0.5,
        "explain": True,
        "deadline_ms": 60000.0,
        "session_id": "s1",
    }
    assert bare(got) == bare(behind.recommend("u2", 7, **wishes))
    assert got.items[0].reasons


@pytest.mark.parametrize(("said", "meant"), [("", True), ("&exclude_seen=true", True), ("&exclude_seen=false", False)])
def test_seen_items_are_left_out_unless_said_otherwise(door, behind, said, meant):
    got = reply(ask(door, f"/v1/users/u3/recommendations?n=60{said}"))
    assert shown(got) == shown(behind.recommend("u3", 60, exclude_seen=meant))


def test_only_allowed_items(door):
    assert set(shown(reply(ask(door, "/v1/users/u1/recommendations?allow=i3&allow=i4&exclude_seen=false")))) == {"i3", "i4"}


def test_an_unknown_user_is_cold_and_an_id_may_have_a_slash_and_a_letter_of_any_script(door):
    for target, name in (("new", "new"), ("a%2Fb", "a/b"), ("%C3%BC%20%E4%BA%BA", "ü 人"), ("..", ".."), ("%2E%2E", ".."), ("a+b", "a+b")):
        got = reply(ask(door, f"/v1/users/{target}/recommendations"))
        assert got.user_id == name
        assert got.cold


def test_a_kept_reply_is_the_same_with_a_name_of_its_own(door, behind):
    target = "/v1/users/u4/recommendations?n=4"
    first = reply(ask(door, target))
    hits = behind.facts()["cache hits"]
    second = reply(ask(door, target))
    assert behind.facts()["cache hits"] == hits + 1
    assert bare(first) == bare(second)
    assert first.request_id != second.request_id


def test_a_request_in_the_body(door, behind):
    wish = {"user_id": "u1", "n": 3, "filter": "price < 80", "exclude_seen": ["purchase"], "caps": {"brand": 1}}
    got = reply(ask(door, "/v1/recommendations", "POST", wish))
    again = behind.recommend("u1", 3, filter="price < 80", exclude_seen=("purchase",), caps={"brand": 1})
    assert bare(got) == bare(again)


def test_a_batch_is_answered_as_one_by_one(door, behind):
    users = [f"u{k}" for k in range(40)]
    answer = ask(door, "/v1/recommendations/batch", "POST", {"requests": [{"user_id": u, "n": 3} for u in users]})
    assert answer.status == 200
    got = msgspec.json.decode(answer.body, type=dict[str, list[Response]])["responses"]
    assert [bare(r) for r in got] == [bare(behind.recommend(u, 3)) for u in users]


def test_a_visitor_is_answered_from_the_events_in_the_body(door, behind):
    events = [{"item_id": f"i{k}", "type": "click"} for k in range(6)]
    got = reply(ask(door, "/v1/sessions/recommendations", "POST", {"events": events, "n": 5}))
    assert got.user_id is None
    assert not {f"i{k}" for k in range(6)} & set(shown(got))
    assert shown(got) == shown(behind.recommend(None, 5, events=events))


def test_a_given_list_is_put_in_order(door, behind):
    items = [f"i{k}" for k in range(10)]
    got = reply(ask(door, "/v1/rankings", "POST", {"items": items, "user_id": "u1"}))
    assert bare(got) == bare(behind.rank(items, "u1"))
    assert set(shown(got)) <= set(items)


def test_a_reply_is_explained_by_its_name(door):
    got = reply(ask(door, "/v1/users/u6/recommendations?n=3"))
    whole = ask(door, f"/v1/recommendations/{got.request_id}/explanation")
    assert whole.status == 200
    assert whole.json["items"] == shown(got)
    assert whole.json["user_id"] == "u6"
    one = msgspec.json.decode(
        ask(door, f"/v1/recommendations/{got.request_id}/explanation?item_id={shown(got)[1]}").body, type=Explanation
    )
    assert one.eligible
    assert one.score == pytest.approx(got.items[1].score)
    assert one.contributions == pytest.approx(got.items[1].contributions)
    missing = ask(door, "/v1/recommendations/nope/explanation")
    assert (missing.status, missing.json["code"]) == (404, "unknown-reply")


# ---------------------------------------------------------------------------------------------------- lists


@pytest.mark.parametrize("kind", ["popular", "trending", "latest"])
def test_lists_that_are_not_for_one_user(door, behind, kind):
    answer = ask(door, f"/v1/items/{kind}?n=4")
    assert answer.json["items"] == msgspec.to_builtins(list(getattr(behind, kind)(4)))


def test_the_popular_of_a_category(door, behind):
    answer = ask(door, "/v1/items/popular?n=4&category=hats")
    assert [i["item_id"] for i in answer.json["items"]] == [i.item_id for i in behind.popular(4, category="hats")]
    assert ask(door, "/v1/items/popular?category=nope").status == 400


def test_neighbours(door, behind):
    items = ask(door, "/v1/items/i1/similar?n=3").json["items"]
    assert [i["item_id"] for i in items] == [i.item_id for i in behind.similar_items("i1", 3)]
    users = ask(door, "/v1/users/u1/similar?n=3").json["users"]
    assert [(u["user_id"], u["similarity"]) for u in users] == list(behind.similar_users("u1", 3))
    assert ask(door, "/v1/items/nope/similar").json["code"] == "unknown-item"
    assert ask(door, "/v1/users/nope/similar").json["code"] == "unknown-user"


# ---------------------------------------------------------------------------------------------------- events


def test_an_event_is_felt_by_the_next_answer_even_where_one_was_kept(door):
    target = "/v1/users/u7/recommendations?n=5"
    before = shown(reply(ask(door, target)))
    assert shown(reply(ask(door, target))) == before
    answer = ask(door, "/v1/events", "POST", {"user_id": "u7", "item_id": before[0], "type": "purchase"})
    assert (answer.status, answer.json) == (201, {"stored": 1, "duplicates": 0})
    assert before[0] not in shown(reply(ask(door, target)))


def test_many_events_count_once_each(door, behind):
    stored = behind.facts()["events stored"]
    events = [{"user_id": f"n{k % 7}", "item_id": f"i{k % 9}", "event_id": f"e{k}"} for k in range(200)]
    assert ask(door, "/v1/events", "POST", events).json == {"stored": 200, "duplicates": 0}
    assert ask(door, "/v1/events", "POST", events[:50]).json == {"stored": 0, "duplicates": 50}
    assert behind.facts()["events stored"] == stored + 200


def test_a_wrong_event_among_many_stores_none(door, behind):
    stored = behind.facts()["events stored"]
    good = {"user_id": "u1", "item_id": "i1"}
    for bad, place in (
        ({"user_id": "u1"}, "$[1]"),
        ({"user_id": "u1", "item_id": 5}, "$[1].item_id"),
        ({"user_id": "u\n", "item_id": "i"}, None),
        ({"user_id": "u", "item_id": "i", "order": "yesterday"}, None),
    ):
        answer = ask(door, "/v1/events", "POST", msgspec.json.encode([good, bad, good]))
        assert answer.status == 400
        assert answer.json["code"] == "bad-request"
        if place:
            assert answer.json["errors"][0]["place"] == place
        else:
            assert "[1]" in answer.json["detail"]
    assert behind.facts()["events stored"] == stored


# ---------------------------------------------------------------------------------------------------- items and users


def test_an_item_comes_changes_and_goes(door, behind):
    body = {"attributes": {"title": "New", "category": "bags", "price": 12.5}}
    assert msgspec.json.decode(ask(door, "/v1/items/new%2F1", "PUT", body).body, type=Receipt).stored == 1
    got = msgspec.json.decode(ask(door, "/v1/items/new%2F1").body, type=Item)
    assert got.item_id == "new/1"
    assert got.attributes["price"] == 12.5
    assert "new/1" in shown(reply(ask(door, "/v1/users/u1/recommendations?allow=new%2F1")))
    assert ask(door, "/v1/items/new%2F1", "PATCH", {"attributes": {"price": 9.0}}).status == 200
    got = behind.item("new/1")
    assert got.attributes["price"] == 9.0
    assert got.attributes["title"] == "New"
    assert ask(door, "/v1/items/new%2F1", "PATCH", {"available": False}).status == 200
    assert behind.item("new/1").attributes["title"] == "New"
    assert shown(reply(ask(door, "/v1/users/u1/recommendations?allow=new%2F1"))) == []
    assert ask(door, "/v1/items/new%2F1", "PUT", {"attributes": {"title": "Again"}}).status == 200
    assert "price" not in behind.item("new/1").attributes
    gone = ask(door, "/v1/items/new%2F1", "DELETE")
    assert (gone.status, gone.body) == (204, b"")
    assert ask(door, "/v1/items/new%2F1").status == 404
    assert ask(door, "/v1/items/new%2F1", "DELETE").status == 404


def test_many_items_at_once(door, behind):
    items = [{"item_id": f"bulk{k}", "attributes": {"title": f"T{k}", "price": 1.0 + k}} for k in range(50)]
    assert ask(door, "/v1/items", "PUT", items).json["stored"] == 50
    patches = [{"item_id": f"bulk{k}", "attributes": {"price": None}} for k in range(50)]
    assert ask(door, "/v1/items", "PATCH", patches).json["stored"] == 50
    assert behind.item("bulk7").attributes == {"title": "T7"}
    assert behind.item("bulk7").available


def test_a_user_comes_changes_and_is_forgotten(door, behind):
    assert ask(door, "/v1/users/visitor", "PUT", {"attributes": {"gender": "f"}}).status == 200
    assert ask(door, "/v1/events", "POST", {"user_id": "visitor", "item_id": "i1"}).status == 201
    assert msgspec.json.decode(ask(door, "/v1/users/visitor").body, type=User).attributes == {"gender": "f"}
    assert ask(door, "/v1/users/visitor", "PATCH", {"attributes": {"gender": "m"}}).status == 200
    assert behind.user("visitor").attributes == {"gender": "m"}
    assert ask(door, "/v1/users", "PUT", [{"user_id": "visitor"}, {"user_id": "second", "attributes": {"gender": "f"}}]).status == 200
    assert ask(door, "/v1/users", "PATCH", [{"user_id": "second", "attributes": {"gender": None}}]).status == 200
    assert behind.user("second").attributes == {}
    assert ask(door, "/v1/users/visitor", "DELETE").status == 204
    assert ask(door, "/v1/users/visitor").status == 404
    assert ask(door, "/v1/users/visitor", "DELETE").json["code"] == "unknown-user"


def test_a_body_may_repeat_the_name_of_the_path_and_no_other(door):
    assert ask(door, "/v1/items/i1", "PATCH", {"item_id": "i1"}).status == 200
    answer = ask(door, "/v1/items/i1", "PATCH", {"item_id": "i2"})
    assert answer.status == 400
    assert "item_id" in answer.json["detail"]


@pytest.mark.parametrize(("path", "name"), [("/v1/items", "items"), ("/v1/users", "users")])
def test_pages_lead_through_everything_once(door, path, name):
    whole = ask(door, f"{path}?limit=1000").json
    assert whole["next"] is None
    found, after = [], ""
    for _ in range(100):
        page = ask(door, f"{path}?limit=37&after={after}").json
        assert len(page[name]) <= 37
        found += page[name]
        after = page["next"]
        if after is None:
            break
    assert found == whole[name]
    assert ask(door, f"{path}?after=nonsense%20%21").status == 400


# ---------------------------------------------------------------------------------------------------- the service


def test_health_metrics_and_the_description(door):
    assert ask(door, "/health/live").json == {"status": "live"}
    assert ask(door, "/health/ready").json["status"] == "ready"
    metrics = ask(door, "/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'recengine_http_requests_total{method="GET",route="/health/live",status="200"}' in metrics.body
    assert b"recengine_journal_last_seq" in metrics.body
    page = ask(door, "/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert b"/v1/events" in page.body
    assert b"<script" not in page.body


def test_the_description_has_every_route_with_its_problems_and_bounds(door):
    schema = ask(door, "/openapi.json").json
    described = {(path, verb.upper()) for path, verbs in schema["paths"].items() for verb in verbs}
    served = {(p.replace(":str", ""), str(m)) for h in HANDLERS for p in h.paths for m in h.http_methods}
    assert described == served - {("/docs", "GET")}
    names = [operation["operationId"] for verbs in schema["paths"].values() for operation in verbs.values()]
    assert len(set(names)) == len(names)
    for path, verbs in schema["paths"].items():
        for verb, operation in verbs.items():
            assert operation.get("description"), (verb, path)
            if path.startswith("/v1"):
                assert {"400", "401", "503"} <= set(operation["responses"])
                assert ("413" in operation["responses"]) == ("requestBody" in operation)
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query":
                    said = parameter["schema"]
                    assert said.get("type") == "boolean" or {"maximum", "maxLength", "maxItems"} & set(said), parameter
    assert set(schema["components"]["securitySchemes"]) == {"bearer", "header"}
