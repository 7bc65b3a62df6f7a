"""The door of the loop: what is refused, by name, and what becomes of moments and ids."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from recengine import Engine, Event, Item
from recengine.errors import BadRequest
from recengine.online.arrivals import MAX_BATCH, moment

GOOD = {"user_id": "u", "item_id": "i", "type": "click"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with Engine.open(tmp_path_factory.mktemp("door") / "shop", create=True) as engine:
        engine.record(GOOD)
        engine.put_items([{"item_id": "i", "attributes": {"price": 3.0}}])
        yield engine


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({**GOOD, "user_id": ""}, r"events\[0\].*user_id"),
        ({**GOOD, "user_id": "a\x00b"}, r"events\[0\].user_id"),
        ({**GOOD, "item_id": "a\u202eb"}, r"events\[0\].item_id"),
        ({**GOOD, "item_id": "\ud800"}, r"events\[0\].item_id"),
        ({**GOOD, "user_id": "é" * 200}, r"events\[0\].user_id"),
        ({**GOOD, "user_id": 7}, r"events\[0\].*user_id"),
        ({**GOOD, "type": ""}, r"events\[0\].*type"),
        ({**GOOD, "type": "x" * 65}, r"events\[0\].*type"),
        ({**GOOD, "value": float("nan")}, r"events\[0\].*value"),
        ({**GOOD, "value": 1e10}, r"events\[0\].*value"),
        ({**GOOD, "value": 2**70}, r"events\[0\].*value"),
        ({**GOOD, "value": "much"}, r"events\[0\].*value"),
        ({**GOOD, "order": "yesterday"}, r"events\[0\].order"),
        ({**GOOD, "order": 5}, r"events\[0\].order"),
        ({**GOOD, "order": 2**70}, r"events\[0\].order"),
        ({**GOOD, "order": True}, r"events\[0\].order"),
        ({**GOOD, "order": {"at": 1}}, r"events\[0\].order"),
        ({**GOOD, "order": float("inf")}, r"events\[0\].order"),
        ({**GOOD, "event_id": ""}, r"events\[0\].*event_id"),
        ({**GOOD, "session_id": "a\nb"}, r"events\[0\].session_id"),
        ({**GOOD, "request_id": "x" * 300}, r"events\[0\].*request_id"),
        ({**GOOD, "who": 1}, r"events\[0\].*who"),
        ({"user_id": "u"}, r"events\[0\].*item_id"),
        ("u", "events"),
        (7, "events"),
        ([], "events: expected 1"),
        ([GOOD, 7], r"events\[1\]"),
        ([GOOD, {**GOOD, "user_id": "\x01"}], r"events\[1\].user_id"),
        ([Event(user_id="u", item_id="")], r"events\[0\].*item_id"),
    ],
)
def test_a_bad_event_is_named_and_nothing_is_stored(engine, bad, words):
    before = engine.facts()
    with pytest.raises(BadRequest, match=words):
        engine.record(bad)
    assert engine.facts() == before


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([{"item_id": "i", "attributes": {"price": "dear"}}], r"items\[0\].attributes.price"),
        ([{"item_id": "i", "attributes": {"price": float("nan")}}], r"items\[0\].attributes.price"),
        ([{"item_id": "i"}, {"item_id": "\x7f"}], r"items\[1\].item_id"),
        ([{"item_id": "i", "valid_from": "soon"}], r"items\[0\].valid_from"),
        ([Item(item_id="i", attributes={"a": {"b": 1}})], r"items\[0\].attributes.a"),
        ([], "items: expected 1"),
        ("i", "items: expected a list"),
    ],
)
def test_a_bad_item_is_named_and_nothing_is_stored(engine, bad, words):
    before = engine.facts()
    with pytest.raises(BadRequest, match=words):
        engine.put_items(bad)
    assert engine.facts() == before


def test_too_many_at_once_are_refused(engine):
    with pytest.raises(BadRequest, match="in parts"):
        engine.record([GOOD] * (MAX_BATCH + 1))


@pytest.mark.parametrize("bad", [("", "p"), ("u", ""), ("u", 7), (None, "p"), ("u", "a\x00")])
def test_a_bad_consent_is_named(engine, bad):
    with pytest.raises(BadRequest, match="expected"):
        engine.consent(*bad, granted=True)


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MICROSECONDS = int(NOON.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    "order",
    [
        NOON,
        NOON.astimezone(timezone(timedelta(hours=5))),
        NOON.replace(tzinfo=None),
        "2026-03-01T12:00:00Z",
        "2026-03-01T17:00:00+05:00",
        "2026-03-01T12:00:00",
        np.datetime64("2026-03-01T12:00:00"),
        MICROSECONDS,
        np.int64(MICROSECONDS),
        MICROSECONDS // 1_000,
        MICROSECONDS // 1_000_000,
        MICROSECONDS * 1_000,
        float(MICROSECONDS // 1_000_000),
    ],
)
def test_a_moment_may_be_said_in_many_ways(order):
    assert moment(order, "timestamp", "order") == MICROSECONDS
    assert moment(order, None, "order") == MICROSECONDS


def test_an_integer_store_takes_integers_alone():
    assert moment(7, "integer", "order") == 7
    assert moment(-7, "integer", "order") == -7
    assert moment(7, None, "order") == 7
    for bad in (NOON, "2026-03-01", 2**62, 7.5):
        with pytest.raises(BadRequest, match="order"):
            moment(bad, "integer", "order")


def test_a_thousand_types_are_enough(tmp_path):
    with Engine.open(tmp_path / "shop", create=True) as engine:
        engine.record([{**GOOD, "type": f"t{k}"} for k in range(1000)])
        with pytest.raises(BadRequest, match="types already"):
            engine.record({**GOOD, "type": "one more"})
        assert engine.record({**GOOD, "type": "t7"}).stored == 1
