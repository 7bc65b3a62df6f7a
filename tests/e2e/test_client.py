"""The client against a served shop: every method, the engine's own answers, and a network that loses replies."""

import shutil
import socket
from contextlib import contextmanager, suppress
from threading import Thread

import msgspec
import pytest

from recengine.client import Client, transport
from recengine.demo.check import checks
from recengine.errors import (
    BadExpression,
    BadRequest,
    RecEngineError,
    ServerUnreachable,
    UnknownItem,
    UnknownReply,
    UnknownUser,
)
from recengine.server import keys
from recengine.types import Event, Item, Receipt, Request, SessionEvent, User
from tests.serving import Served


@pytest.fixture(scope="module")
def served(_trained, tmp_path_factory):
    folder = shutil.copytree(_trained, tmp_path_factory.mktemp("served") / "shop")
    with Served(folder) as server:
        yield server


@pytest.fixture
def client(served):
    with Client(f"http://127.0.0.1:{served.port}", retries=0) as opened:
        yield opened


@contextmanager
def losing(port, lost):
    """Pass connections on to `port`, but close the first `lost` of them when the reply comes, unread."""
    left = [lost]

    def passed_on(near):
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            asked = near.recv(65_536)
            head, _, body = asked.partition(b"\r\n\r\n")
            length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0)
            while len(body) < length:
                body += near.recv(65_536)
            far.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
            reply = b""
            while got := far.recv(65_536):
                reply += got
            assert reply.startswith(b"HTTP/1.1 20"), reply[:300]
            if left[0]:
                left[0] -= 1
            else:
                near.sendall(reply)

    def accept():
        with suppress(OSError):
            while True:
                passed_on(door.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as door:
        Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}", left
        door.shutdown(socket.SHUT_RDWR)


def bare(reply):
    return msgspec.structs.replace(reply, request_id="")


def test_it_answers_as_the_engine_does(client, engine):
    """The served copy holds what the open one does: nothing was recorded in it yet."""
    wish = Request(user_id="u3", n=4, filter="price < 50", caps={"brand": 1}, explain=True)
    for mine, theirs in (
        (client.recommend("u2"), engine.recommend("u2")),
        (client.recommend("u2", 3, explain=True), engine.recommend("u2", 3, explain=True)),
        (client.recommend(wish), engine.recommend(wish)),
        (client.recommend(), engine.recommend()),
        (client.rank(["i1", "i9", "i70"], "u2"), engine.rank(["i1", "i9", "i70"], "u2")),
        (client.session([SessionEvent(item_id="i3", type="click"), {"item_id": "i5"}], 5), engine.recommend(n=5, events=[{"item_id": "i3", "type": "click"}, {"item_id": "i5"}])),
    ):
        assert bare(mine) == bare(theirs)
    assert [bare(r) for r in client.recommend_batch(["u1", "u2", wish])] == [bare(engine.recommend(u)) for u in ("u1", "u2", wish)]
    assert client.similar_items("i3", 4) == engine.similar_items("i3", 4)
    assert client.similar_users("u3", 4) == engine.similar_users("u3", 4)
    assert (client.popular(5), client.trending(5), client.latest(5)) == (engine.popular(5), engine.trending(5), engine.latest(5))
    assert client.popular(5, category="hats") == engine.popular(5, category="hats")
    assert client.item("i3") == engine.item("i3")
    assert client.user("u3") == engine.user("u3")
    assert client.items(limit=7) == engine.items(limit=7)
    assert client.list_users(limit=7) == engine.list_users(limit=7)


def test_pages_lead_through_everything(client):
    names, after = [], ""
    while after is not None:
        page, after = client.items(after, 30)
        names += [item.item_id for item in page]
    assert len(names) == len(set(names)) == 80


def test_what_it_tells_is_felt(client):
    first = client.recommend("u11")
    item = first.items[0].item_id
    assert client.record(Event(user_id="u11", item_id=item, type="click", request_id=first.request_id)) == Receipt(stored=1)
    assert item not in [line.item_id for line in client.recommend("u11").items]
    assert client.decision(first.request_id).items[0] == item
    assert client.explanation(first.request_id, item).item_id == item
    assert client.record([{"user_id": "u11", "item_id": "i1", "event_id": "twice"}] * 2) == Receipt(stored=1, duplicates=1)


def test_items_and_users_are_put_changed_and_removed(client):
    assert client.put_items([Item(item_id="new/one", attributes={"title": "New", "price": 3.0})]) == Receipt(stored=1)
    assert client.put_items([{"item_id": "new/one", "attributes": {"title": None}}], merge=True) == Receipt(stored=1)
    assert client.item("new/one").attributes == {"price": 3.0}
    client.remove_item("new/one")
    with pytest.raises(UnknownItem):
        client.item("new/one")
    client.put_items([{"item_id": "new/one", "available": True, "attributes": {"price": 4.0}}], merge=True)
    assert client.item("new/one").attributes == {"price": 4.0}
    assert client.put_users([User(user_id="somebody", attributes={"gender": "f"})]) == Receipt(stored=1)
    assert client.user("somebody").attributes == {"gender": "f"}
    client.forget("somebody")
    with pytest.raises(UnknownUser):
        client.user("somebody")
    with pytest.raises(UnknownUser):
        client.forget("somebody")


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda c: c.similar_items("nothing"), UnknownItem),
        (lambda c: c.user("nobody"), UnknownUser),
        (lambda c: c.recommend("u1", filter="prize < 3"), BadExpression),
        (lambda c: c.recommend("u1", 0), BadRequest),
        (lambda c: c.record([{"user_id": "u1", "item_id": "i1"}] * 1001), BadRequest),
        (lambda c: c.decision("0" * 32), UnknownReply),
    ],
)
def test_problems_come_back_as_the_engines_errors(client, ask, error):
    with pytest.raises(error) as caught:
        ask(client)
    assert type(caught.value) is error
    assert caught.value.message


def test_it_looks_at_the_service(client):
    assert client.ready() is True
    assert "recengine_http_requests_total{" in client.metrics()
    assert "/v1/events" in client.openapi()["paths"]


def test_an_event_whose_receipt_got_lost_counts_once(served, monkeypatch):
    monkeypatch.setattr(transport, "FIRST_WAIT", 0.01)
    before = stored(served)
    with losing(served.port, 2) as (url, left), Client(url) as client:
        assert client.record(Event(user_id="u20", item_id="i1", type="click")) == Receipt(stored=0, duplicates=1)
        assert left == [0]
    assert stored(served) == before + 1


def test_without_further_tries_a_lost_receipt_is_an_error_that_says_so(served):
    with losing(served.port, 1) as (url, _), Client(url, retries=0) as client, pytest.raises(ServerUnreachable):
        client.record(Event(user_id="u20", item_id="i1", type="click"))


def stored(served):
    with Client(f"http://127.0.0.1:{served.port}") as client:
        lines = client.metrics().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("recengine_events_stored_total ")))


def test_the_demos_checks_hold(client):
    assert [check.what for check in checks(client, "u30")] == ["recommend", "event", "changed answer", "event again", "metrics", "openapi"]


def test_a_key_is_sent_where_one_is_needed(shop):
    key = keys.create(shop)
    with Served(shop) as served:
        url = f"http://127.0.0.1:{served.port}"
        with Client(url, key) as client:
            assert client.recommend("u1").items
        with Client(url) as client, pytest.raises(RecEngineError, match="no-api-key"):
            client.recommend("u1")
        with Client(url, key[:-1] + "_") as client, pytest.raises(RecEngineError, match="no-api-key"):
            client.recommend("u1")


def test_a_server_that_starts_late_is_waited_for(shop):
    found = []
    server = Served(shop)
    with Client(f"http://127.0.0.1:{server.port}", retries=12) as client:
        asking = Thread(target=lambda: found.append(client.record(Event(user_id="u1", item_id="i1"))))
        asking.start()
        with server:
            asking.join(60)
            assert found == [Receipt(stored=1)]
