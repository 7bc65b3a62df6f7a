"""The door of live versions: what may be an attribute, what its kind is, and how it is refused."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recengine.errors import BadRequest
from recengine.features.described import described
from recengine.online.catalogues import revised
from recengine.store.attributes import MAX_ATTRIBUTES, Shape, checked, inferred, kept
from recengine.store.catalog import attributes
from recengine.store.versions import append_live_versions
from recengine.types import NO_TIME, Catalogue, Column
from recengine.types.frames import ItemFrame, decode_frame, encode_frame
from tests.unit.ingesting import opened

COLUMNS = {
    "price": Column("number", np.array([1.0])),
    "flag": Column("bool", np.array([1], np.uint8)),
    "brand": Column("string", np.array([0], np.int32), ("Acme",)),
    "tags": Column("strings", np.array([0], np.int32), ("new",), np.array([0, 1])),
    "made": Column("timestamp", np.array([5])),
    "story": Column("text", np.array(["once"], object)),
    "look": Column("vector", np.array([[1.0, 2.0]], np.float32)),
}
BAD = [
    ({"price": "12"}, "attributes.price: expected a number, got text"),
    ({"price": True}, "attributes.price: expected a number, got a boolean"),
    ({"price": float("nan")}, "attributes.price: expected a finite number"),
    ({"price": float("-inf")}, "attributes.price: expected a finite number"),
    ({"price": 2**70}, "attributes.price: an integer beyond 64 bits"),
    ({"price": 10**4000}, "attributes.price: an integer beyond 64 bits"),
    ({"price": [1.0]}, "expected a number, got a list"),
    ({"price": np.float32("nan")}, "expected a finite number"),
    ({"flag": 1}, "attributes.flag: expected true or false, got a number"),
    ({"brand": 7}, "attributes.brand: expected text, got a number"),
    ({"brand": "a\x00b"}, "attributes.brand: control character U+0000 at 1"),
    ({"brand": "a\x1bb"}, "U+001B"),
    ({"brand": "a\x85"}, "U+0085"),
    ({"brand": "a\rb"}, "U+000D"),
    ({"brand": "\ud800"}, "U+D800"),
    ({"story": "x" * 10_001}, "attributes.story: a text of 10001 characters"),
    ({"tags": "new"}, "attributes.tags: expected a list of texts, got text"),
    ({"tags": ["a", None]}, "attributes.tags[1]: expected text, got null"),
    ({"tags": ["a", ["b"]]}, "attributes.tags[1]: expected text, got a list"),
    ({"tags": ["x" * 10_001]}, "attributes.tags[0]: a text of 10001"),
    ({"tags": ["x"] * 1_001}, "attributes.tags: a list of 1001"),
    ({"tags": [2**64]}, "attributes.tags[0]: an integer beyond 64 bits"),
    ({"made": "yesterday"}, "attributes.made: expected an ISO time, got text"),
    ({"made": 1_700_000_000}, "attributes.made: expected an ISO time, got a number"),
    ({"made": "2024-02-30"}, "attributes.made: expected an ISO time"),
    ({"look": [1.0]}, "attributes.look: expected 2 numbers, got 1"),
    ({"look": [1.0, "x"]}, "attributes.look[1]: expected a number, got text"),
    ({"look": [1.0, True]}, "attributes.look[1]: expected a number, got a boolean"),
    ({"look": [1.0, 1e300]}, "attributes.look[1]: 1e+300 is beyond float32"),
    ({"look": [1.0, 2**70]}, "attributes.look[1]: an integer beyond 64 bits"),
    ({"look": [1.0, float("nan")]}, "attributes.look[1]: expected a finite number"),
    ({"look": []}, "attributes.look: expected 2 numbers, got 0"),
    ({"new": {"a": 1}}, "attributes.new: expected a value or a list of values, got an object"),
    ({"new": [[1]]}, "attributes.new[0]: expected text, got a list"),
    ({"new": [1.5, "x"]}, "attributes.new[0]: expected text, got a number"),
    ({"new": [0.5] * 4_097}, "attributes.new: a new vector of 4097 numbers"),
    ({"new": 2**70}, "attributes.new: an integer beyond 64 bits"),
    ({"new": b"x"}, "attributes.new: expected a value or a list of values, got bytes"),
    ({"new": object()}, "attributes.new: expected a value"),
    ({"": 1}, "cannot name an attribute"),
    ({" ": 1}, "cannot name an attribute"),
    ({"x" * 129: 1}, "cannot name an attribute"),
    ({"a\u202eb": 1}, "cannot name an attribute"),
    ({"a\nb": 1}, "cannot name an attribute"),
    ({7: 1}, "cannot name an attribute"),
    ({"item_id": "x"}, "attributes.item_id: a field of its own"),
    ({"user_id": None}, "attributes.user_id: a field of its own"),
    ({"available": True}, "attributes.available: a field of its own"),
    ({"valid_from": "2024-01-01"}, "attributes.valid_from: a field of its own"),
    ({f"a{k}": 1 for k in range(1_001)}, "attributes: 1001 attributes"),
    ([1], "attributes: expected names with values, got a list"),
]


@pytest.mark.parametrize(("said", "message"), BAD, ids=[message[-40:] for _, message in BAD])
def test_what_cannot_be_kept_is_refused_by_its_place(said, message):
    claimed = {}
    with pytest.raises(BadRequest) as err:
        checked(COLUMNS, said, claimed)
    assert message in str(err.value)
    assert claimed == {}


def test_what_fits_comes_out_as_plain_values():
    said = {
        "price": np.int64(5),
        "flag": np.bool_(True),
        "brand": "a\tb\r\nc",
        "tags": ("x", ""),
        "made": datetime(2024, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))),
        "story": None,
        "look": np.array([0.5, 1], np.float32),
    }
    out = checked(COLUMNS, said, {})
    assert out == {
        "price": 5,
        "flag": True,
        "brand": "a\tb\r\nc",
        "tags": ["x", ""],
        "made": "2024-01-31T12:00:00+02:00",
        "story": None,
        "look": [0.5, 1.0],
    }
    assert msgspec.json.decode(msgspec.json.encode(out)) == out
    assert kept("", Shape("timestamp"), out["made"]) == int(datetime(2024, 1, 31, 10, tzinfo=UTC).timestamp() * 1e6)


def test_the_versions_of_one_call_agree_on_a_new_attribute():
    claimed = {}
    checked({}, {"size": 4}, claimed)
    assert claimed == {"size": Shape("number")}
    with pytest.raises(BadRequest, match=r"items\[1\].attributes.size: expected a number, got text"):
        checked({}, {"size": "XL"}, claimed, place="items[1].attributes")


def test_there_are_at_most_a_thousand_attributes():
    full = {f"a{k}": COLUMNS["price"] for k in range(MAX_ATTRIBUTES - 1)}
    claimed = {}
    checked(full, {"last": 1}, claimed)
    with pytest.raises(BadRequest, match="there are 1000 attributes already"):
        checked(full, {"more": 1}, claimed)
    checked(full, {"a0": 2, "last": 3, "none": None, "empty": ""}, claimed)


NEW = [True, 3, 2.5, "", "x" * 64, "x" * 65, "2024-01-31", "2024-01-31T10:00:00Z", "2024-01-31 10:00:00.5", "2024-01-31T10:00:00+02:00"]
NEW += ["2024-01-31T10:00", "20240131", "2024-01", "31/01/2024", "2024-02-30", "10:00:00", "12", "true", ["a"], [1, 2], [1.5, 2], [0.5]]


@pytest.mark.parametrize("value", NEW, ids=repr)
def test_a_new_attribute_gets_the_kind_that_ingest_would_give_it(tmp_path, value):
    file = tmp_path / "items.jsonl"
    file.write_bytes(msgspec.json.encode({"item_id": "a", "new": value}))
    with opened(tmp_path / "shop") as shop:
        shop.ingest(items=str(file))
        told = attributes(shop.database.read(), "item").get("new")
    found = inferred("new", value)
    if value == "":  # a file says that there is such a column, a version nothing
        assert found is None
    else:
        assert found == Shape(told.kind, told.size)


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80) | st.just("2024-05-06")
anything = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2), max_leaves=6)


@given(said=st.dictionaries(st.sampled_from([*COLUMNS, "new", "item_id", "a\x00"]) | st.text(max_size=5), anything, max_size=5))
def test_whatever_is_said_is_refused_or_kept_and_read_as_kept(said):
    try:
        out = checked(COLUMNS, said, {})
    except BadRequest:
        return
    frame = decode_frame(encode_frame(ItemFrame("a", out, None, None, True, 1)))
    start = Catalogue(1, COLUMNS, np.ones(1, np.uint8), np.full(1, NO_TIME))
    live = revised(start, [0], [frame], 1)
    shown = described(live, 0)
    for name, value in out.items():
        empty = value is None or value in ("", []) or (isinstance(value, list) and not any(v != "" for v in value))
        assert (name in shown) == (not empty)
    again = revised(live, [0], [ItemFrame("a", checked(live.columns, shown, {}), None, None, True, 2)], 1)
    assert again is live  # what is read, handed in again, says nothing new


def test_a_frame_that_was_checked_is_stored_without_complaint(tmp_path, caplog):
    out = checked({}, {"price": 5, "made": "2024-01-31", "tags": [1, 2], "look": [0.1, 2], "flag": False, "story": "x" * 70}, {})
    with opened(tmp_path / "shop") as shop:
        shop.ids.items.extend({"a": 0})
        rows = np.array([0], np.int32)
        shop.database.write(lambda cursor: append_live_versions(cursor, "item", rows, [ItemFrame("a", out, True, None, False, 1)]))
    assert caplog.text == ""
