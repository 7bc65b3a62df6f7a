"""`[[expect]]`: what holds is said, what does not refuses the batch, sets rows aside, clips them or is reported."""

from datetime import UTC, datetime, timedelta

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recengine.config import Expectation, parse
from recengine.errors import ConfigInvalid, ExpectationFailed, RowsRefused
from recengine.types import Item
from tests.unit.ingesting import opened

S = 1_700_000_000
BOOKS = {
    "item": ["a", "b", "c", "d", "e"],
    "price": [1.0, -2.0, 300.0, None, 5.0],
    "shelf": ["red", "blue", "green", "red", ""],
    "code": ["1", "2", "2", "x", None],
}


@pytest.fixture
def shop(tmp_path):
    with opened(tmp_path / "shop") as shop:
        yield shop


def expect(column, source="items", **said):
    return {source: [Expectation(source=source, column=column, **said)]}


def books(shop, given=None, **expected):
    return shop.ingest(items=pa.table(BOOKS) if given is None else given, expectations=expect(**expected))


def prices(shop):
    """Every stored price by item id."""
    found = shop.database.read().rows('SELECT "row", a0 FROM item_versions ORDER BY seq')
    return {shop.ids.items.id(row): price for row, price in found}


def aside(report):
    (file,) = report.quarantine
    return pq.read_table(file).to_pylist()


def adds_up(report):
    for source in report.sources:
        assert source.stored + source.duplicates + sum(source.quarantined.values()) == source.rows
    kept = sum(pq.read_metadata(file).num_rows for file in report.quarantine)
    assert kept == sum(sum(source.quarantined.values()) for source in report.sources)


BROKEN = {
    "min": ({"column": "price", "min": 0}, "at least 0", "'-2.0'", 1, 2),
    "max": ({"column": "price", "max": 100}, "at most 100", "'300.0'", 1, 3),
    "values": ({"column": "shelf", "values": ("red", "blue")}, "one of red, blue", "'green'", 1, 3),
    "number": ({"column": "code", "type": "number"}, "a value of type number", "'x'", 1, 4),
    "integer": ({"column": "price", "type": "timestamp"}, "a value of type timestamp", "'1.0'", 4, 1),
    "unique": ({"column": "code", "unique": True}, "no value twice", "'2'", 1, 3),
    "null_share": ({"column": "price", "null_share": 0.1}, "a value in all but 0.1 of the rows", "none in 0.2", 1, 4),
    "refers": ({"column": "code", "refers": "users"}, "the id of one of the described users", "'1'", 4, 1),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_hard_expectation_refuses_the_whole_batch_and_says_where(shop, name):
    said, expected, came, rows, first = BROKEN[name]
    with pytest.raises(ExpectationFailed) as caught:
        books(shop, **said)
    text = str(caught.value)
    assert f"items.{said['column']}: expected {expected}, came {came}" in text
    assert f"in {rows} rows, the first of them row {first} of items" in text
    assert shop.database.read().row("SELECT count(*) FROM item_versions") == (0,)
    assert len(shop.ids.items) == 0
    assert not shop.aside.exists()


@pytest.mark.parametrize("name", BROKEN)
def test_the_same_rows_are_set_aside_whole_where_it_is_soft(shop, name):
    said, expected, _, rows, first = BROKEN[name]
    report = books(shop, **said, otherwise="quarantine")
    assert report.sources[0].quarantined == {f"{said['column']}: expected {expected}": rows}
    kept = aside(report)
    assert kept[0]["_row"] == first
    assert kept[0]["item"] == BOOKS["item"][first - 1]
    assert kept[0]["price"] == BOOKS["price"][first - 1]
    adds_up(report)
    assert report.sources[0].stored == 5 - rows
    result = report.sources[0].expectations[0]
    assert (result.outcome, result.rows, result.row) == ("quarantined", rows, first)


@pytest.mark.parametrize("name", BROKEN)
def test_or_they_are_only_reported(shop, name):
    said, _, _, rows, first = BROKEN[name]
    report = books(shop, **said, otherwise="report")
    assert (report.sources[0].stored, report.quarantine) == (5, ())
    result = report.sources[0].expectations[0]
    assert (result.outcome, result.rows, result.row) == ("reported", rows, first)


def test_strict_refuses_what_would_be_set_aside(shop):
    with pytest.raises(RowsRefused, match="price: expected at least 0"):
        shop.ingest(items=pa.table(BOOKS), strict=True, expectations=expect("price", min=0, otherwise="quarantine"))


def test_what_holds_is_told_too(shop):
    report = books(shop, column="price", type="number", min=-10, max=1000, null_share=0.2)
    assert [r.outcome for r in report.sources[0].expectations] == ["held"] * 4
    assert report.sources[0].stored == 5


def test_numbers_are_clipped_and_keep_their_kind_and_what_is_no_number_is_set_aside(shop):
    report = books(shop, column="price", min=0, max=100, otherwise="clip")
    assert prices(shop) == {"a": 1.0, "b": 0.0, "c": 100.0, "d": None, "e": 5.0}
    assert report.sources[0].repaired == {"price is not at least 0: clipped": 1, "price is not at most 100: clipped": 1}
    assert report.quarantine == ()
    report = shop.ingest(
        events={"user": list("abcd"), "item": list("abcd"), "value": ["1", "-7", "oops", "9"], "order": [S] * 4},
        expectations=expect("value", "events", min=0.5, max=5, otherwise="clip"),
    )
    assert [row[3] for row in shop.events()] == [1.0, 0.5, 5.0]
    assert aside(report)[0]["value"] == "oops"
    adds_up(report)


def test_numbers_among_attributes_are_clipped_too_and_all_else_of_them_stays(shop):
    given = [
        {"item_id": name, "attributes": attributes}
        for name, attributes in zip("abcd", ({"price": -1.0, "n": 7, "x y": "k"}, {"price": 9.0, "n": 1}, {}, None), strict=True)
    ]
    said = [
        Expectation(source="items", column="price", min=0, otherwise="clip"),
        Expectation(source="items", column="price", max=5, otherwise="clip"),
        Expectation(source="items", column="n", max=6.5, otherwise="clip"),
    ]
    report = shop.ingest(items=given, expectations={"items": said})
    stored = shop.database.read().rows('SELECT a0, a1, a2 FROM item_versions ORDER BY "row"')
    assert [tuple(row) for row in stored] == [(0.0, 6.0, "k"), (5.0, 1.0, None), (None, None, None), (None, None, None)]
    assert (report.sources[0].stored, report.quarantine) == (4, ())
    assert sum(report.sources[0].repaired.values()) == 3


def test_an_integer_is_clipped_to_the_nearest_integer_within(shop):
    shop.ingest(
        events=pa.table({"user": ["a", "b"], "item": ["x", "y"], "value": [0, 99], "order": [S, S]}),
        expectations=expect("value", "events", min=0.5, max=9.5, otherwise="clip"),
    )
    assert [row[3] for row in shop.events()] == [1.0, 9.0]


def test_rows_set_aside_keep_what_was_clipped_beside_as_it_came(shop):
    given = {"items": [
        Expectation(source="items", column="price", max=100, otherwise="clip"),
        Expectation(source="items", column="shelf", values=("red", "blue"), otherwise="quarantine"),
    ]}
    report = shop.ingest(items=pa.table(BOOKS), expectations=given)
    assert aside(report)[0]["price"] == 300.0
    assert [r.outcome for r in report.sources[0].expectations] == ["held", "clipped", "quarantined"]


def test_a_value_twice_is_found_across_files_and_rows_count_within_theirs(shop, tmp_path):
    for k, ids in enumerate((["1", "2"], ["3", "2", "1"])):
        rows = pd.DataFrame({"user": "u", "item": ["x", "y", "z"][: len(ids)], "event_id": ids, "timestamp": S + k})
        rows.to_csv(tmp_path / f"part-{k}.csv", index=False)
    report = shop.ingest(
        events=str(tmp_path / "part-*.csv"), expectations=expect("event_id", "events", unique=True, otherwise="quarantine")
    )
    assert report.sources[0].stored == 3
    kept = [(row["_source"], row["_row"], row["event_id"]) for row in aside(report)]
    assert kept == [("part-1.csv", 2, "2"), ("part-1.csv", 3, "1")]
    adds_up(report)


def test_ids_in_a_csv_are_compared_as_they_stand_there(shop, tmp_path):
    (tmp_path / "a.csv").write_text("item,kind\n1,007\n2,7\n")
    report = shop.ingest(items=tmp_path / "a.csv", expectations=expect("kind", values=("007",), otherwise="report"))
    assert (report.sources[0].expectations[0].rows, report.sources[0].expectations[0].row) == (1, 2)


def test_events_may_refer_to_items_that_the_same_ingest_describes(shop):
    events = {"user": ["u", "u"], "item": ["a", "nobody"], "order": [S, S + 1]}
    report = shop.ingest(
        items=pa.table(BOOKS), events=events, expectations=expect("item", "events", refers="items", otherwise="quarantine")
    )
    assert aside(report)[0]["item"] == "nobody"
    assert [row[:2] for row in shop.events()] == [("u", "a")]


def test_an_item_may_refer_to_one_of_its_own_file(shop):
    shop.ingest(items={"item": ["a", "b"], "parent": ["b", "a"]}, expectations=expect("parent", refers="items"))
    with pytest.raises(ExpectationFailed, match=r"items\.parent.*'z' in 1 rows"):
        shop.ingest(items={"item": ["c"], "parent": ["z"]}, expectations=expect("parent", refers="items"))


@pytest.mark.parametrize("form", [lambda m: m, lambda m: m.isoformat(), lambda m: int(m.timestamp())])
def test_data_that_are_not_fresh_are_refused(shop, form):
    old, new = datetime.now(UTC) - timedelta(days=3), datetime.now(UTC) - timedelta(hours=1)
    events = {"user": ["u", "u"], "item": ["a", "b"], "timestamp": [form(old), form(old)]}
    with pytest.raises(ExpectationFailed, match=f"expected a moment within the last 1d, came {old:%Y-%m-%dT%H:%M}"):
        shop.ingest(events=events, expectations=expect("timestamp", "events", fresh="1d"))
    events["timestamp"][1] = form(new)
    assert shop.ingest(events=events, expectations=expect("timestamp", "events", fresh="1d")).sources[0].stored == 2


def test_a_column_that_is_not_there_breaks_what_is_said_of_it(shop):
    with pytest.raises(ExpectationFailed, match=r"items\.prize: expected at least 0, came no such column"):
        books(shop, column="prize", min=0)
    report = books(shop, column="prize", min=0, otherwise="report")
    assert report.sources[0].expectations[0].outcome == "reported"


def test_a_role_and_a_field_of_attributes_name_a_column_too(shop):
    events = {"who": ["u"], "what": ["a"], "stars": [9.0], "at": [S]}
    columns = {"user": "who", "item": "what", "value": "stars", "order": "at"}
    with pytest.raises(ExpectationFailed, match=r"events\.value.*at most 5.*9\.0"):
        shop.ingest(events=events, columns=columns, expectations=expect("value", "events", max=5))
    items = [Item(item_id="a", attributes={"price": -1.0}), Item(item_id="b", attributes={"price": 2.0})]
    report = shop.ingest(items=items, expectations=expect("price", min=0, otherwise="quarantine"))
    assert (report.sources[0].stored, report.sources[0].quarantined) == (1, {"price: expected at least 0": 1})


def test_lists_are_held_to_allowed_values_entry_by_entry(shop):
    rows = pa.table({"item": ["a", "b"], "tags": [["x", "y"], ["x", "z"]]})
    report = books(shop, rows, column="tags", values=("x", "y"), otherwise="report")
    assert (report.sources[0].expectations[0].rows, report.sources[0].expectations[0].row) == (1, 2)


@pytest.mark.parametrize(
    "said",
    [
        'column = "price"',
        'column = "price"\nmin = 2\nmax = 1',
        'column = "price"\nvalues = []',
        'column = "price"\nunique = true\notherwise = "clip"',
        'column = "price"\nfresh = "1d"\notherwise = "quarantine"',
        'column = "price"\nmin = inf',
        'column = "price"\nnull_share = 2.0',
    ],
)
def test_an_expectation_that_makes_no_sense_is_refused(said):
    with pytest.raises(ConfigInvalid, match="expect"):
        parse(f'[[expect]]\nsource = "items"\n{said}\n')


def test_an_expectation_of_a_source_that_is_not_there_is_refused():
    with pytest.raises(ConfigInvalid, match="'itmes'"):
        parse('[[expect]]\nsource = "itmes"\ncolumn = "price"\nmin = 0\n')


def test_a_report_is_one_document(shop):
    report = books(shop, column="price", min=0, otherwise="quarantine")
    read = msgspec.json.decode(msgspec.json.encode(report))
    assert read["sources"][0]["expectations"][0]["place"] == "items.price"


def test_a_real_data_set_is_held_to_what_is_known_of_it(shop, data_path):
    found = {name: data_path(f"ml100k/{name}.parquet") for name in ("items", "users", "ratings")}
    ratings = pq.read_table(found["ratings"])
    given = [
        Expectation(source="events", column="rating", type="integer", min=1, max=5, null_share=0.0),
        Expectation(source="events", column="timestamp", type="timestamp"),
        Expectation(source="events", column="item", refers="items"),
        Expectation(source="events", column="user", refers="users"),
    ]
    report = shop.ingest(items=found["items"], users=found["users"], events=found["ratings"], expectations={"events": given})
    events = report.sources[-1]
    assert [result.outcome for result in events.expectations] == ["held"] * 7
    assert (events.rows, events.stored, events.orphans, events.repaired) == (100_000, 100_000, 0, {})
    high = Expectation(source="events", column="rating", max=4, otherwise="quarantine")
    again = shop.ingest(events=found["ratings"], expectations={"events": [high]})
    fives = int((ratings["rating"].to_numpy() == 5).sum())
    assert again.sources[0].quarantined == {"rating: expected at most 4": fives}
    assert again.sources[0].duplicates == 100_000 - fives
    adds_up(again)
