"""Items and users: kinds of attributes, versions in time, and what a source is silent about."""

import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from recengine.errors import BadColumn
from recengine.store.catalog import read_items, read_users
from recengine.types import NO_TIME, Item, User
from tests.unit.ingesting import opened


@pytest.fixture
def shop(tmp_path):
    with opened(tmp_path / "shop") as shop:
        yield shop


def values(catalogue, name):
    """Spell a column out in Python, None = missing."""
    column = catalogue.columns[name]
    match column.kind:
        case "string":
            return [column.labels[c] if c >= 0 else None for c in column.data.tolist()]
        case "strings":
            rows = zip(column.indptr[:-1], column.indptr[1:], strict=True)
            return [[column.labels[c] for c in column.data[a:b].tolist()] for a, b in rows]
        case "bool":
            return [[False, True, None][v] for v in column.data.tolist()]
        case "timestamp":
            return [None if v == NO_TIME else v for v in column.data.tolist()]
        case "number":
            return [None if np.isnan(v) else v for v in column.data.tolist()]
        case _:
            return list(column.data)


ITEMS = [
    {
        "item_id": "a",
        "sale": True,
        "price": 3,
        "brand": "acme",
        "tags": ["x", "y"],
        "v": [0.5, 1.5],
        "text": "long " * 30,
    },
    {"item_id": "b", "sale": None, "price": 4.5, "brand": None, "tags": [], "v": None, "text": None},
    {
        "item_id": "c",
        "sale": False,
        "price": None,
        "brand": "acme",
        "tags": ["y"],
        "v": [2.0, 3.0],
        "text": "words " * 30,
    },
]
DATES = [datetime(2020, 1, 1, tzinfo=UTC), None, datetime(2021, 1, 1, tzinfo=UTC)]
SOURCES = {
    "dicts": lambda _: [row | {"released": day} for row, day in zip(ITEMS, DATES, strict=True)],
    "arrow": lambda _: pa.Table.from_pylist([row | {"released": day} for row, day in zip(ITEMS, DATES, strict=True)]),
    "structs": lambda _: [
        Item(item_id=row["item_id"], attributes={k: v for k, v in row.items() if k != "item_id"} | {"released": day})
        for row, day in zip(ITEMS, DATES, strict=True)
    ],
    "jsonl": lambda path: write_lines(path / "items.jsonl", lambda row, day: row | {"released": day}),
    "nested jsonl": lambda path: write_lines(
        path / "items.jsonl",
        lambda row, day: {
            "item_id": row["item_id"],
            "attributes": {k: v for k, v in row.items() if k != "item_id"} | {"released": day},
        },
    ),
}


def write_lines(path, shape):
    rows = [shape(row, day and day.isoformat()) for row, day in zip(ITEMS, DATES, strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", SOURCES)
def test_every_kind_of_attribute_comes_back_from_every_source(shop, tmp_path, name):
    shop.ingest(items=SOURCES[name](tmp_path))
    catalogue = read_items(shop.database)
    kinds = {name: column.kind for name, column in catalogue.columns.items()}
    assert kinds == {
        "sale": "bool",
        "price": "number",
        "brand": "string",
        "tags": "strings",
        "v": "vector",
        "text": "text",
        "released": "timestamp",
    }
    assert values(catalogue, "sale") == [True, None, False]
    assert values(catalogue, "price") == [3.0, 4.5, None]
    assert values(catalogue, "brand") == ["acme", None, "acme"]
    assert values(catalogue, "tags") == [["x", "y"], [], ["y"]]
    assert values(catalogue, "text") == ["long " * 30, None, "words " * 30]
    assert values(catalogue, "released") == [1577836800000000, None, 1609459200000000]
    assert np.array_equal(
        catalogue.columns["v"].data, np.array([[0.5, 1.5], [np.nan] * 2, [2.0, 3.0]], np.float32), equal_nan=True
    )
    assert (catalogue.n, catalogue.available.tolist(), catalogue.since.tolist()) == (3, [1, 1, 1], [NO_TIME] * 3)
    assert shop.ingest(items=SOURCES[name](tmp_path)).sources[0].stored == 0


def test_csv_attributes_are_typed_and_texts_of_the_store_stay_text(shop, tmp_path):
    (tmp_path / "a.csv").write_text("item_id,zip,price,genres,new\n007,T8H,1.5,a|b,true\n8,,2,b,false\n")
    (tmp_path / "b.csv").write_text("item_id,zip,price\n9,01234,7\n")
    shop.ingest(items=tmp_path / "a.csv", split={"genres": "|"})
    shop.ingest(items=tmp_path / "b.csv")
    catalogue = read_items(shop.database)
    assert shop.ids.items.ids(np.arange(3, dtype=np.int32)) == ["007", "8", "9"]
    assert values(catalogue, "zip") == ["T8H", None, "01234"]
    assert values(catalogue, "genres") == [["a", "b"], ["b"], []]
    assert values(catalogue, "new") == [True, False, None]


BOOKS = {"item_id": ["x"], "genres": ["a|b"], "title": ["X"]}


@pytest.mark.parametrize(
    ("given", "split", "message"),
    [
        ({"items": BOOKS}, {"genre": "|", "tags": ","}, "'genre', 'tags'"),
        ({"items": BOOKS}, {"item_id": "|"}, "'item_id'"),  # it is the id, not an attribute
        ({"events": {"user": ["u"], "item": ["x"]}}, {"genres": "|"}, "'genres'"),
        ({"items": BOOKS}, {"genres": ""}, "separator of 'genres' is empty"),
    ],
)
def test_a_split_that_can_split_nothing_is_refused_and_nothing_is_written(shop, given, split, message):
    with pytest.raises(BadColumn, match=message) as caught:
        shop.ingest(**given, split=split)
    assert caught.value.hint
    assert (len(shop.events()), read_items(shop.database).n, len(shop.ids.items)) == (0, 0, 0)


def test_a_split_may_be_of_one_source_or_file_among_several(shop):
    users = {"user_id": ["u"], "age": [30]}
    shop.ingest(items=BOOKS, users=users, split={"genres": "|"})
    assert values(read_items(shop.database), "genres") == [["a", "b"]]


def test_mostly_unique_texts_are_text_and_categories_are_strings(shop):
    n = 2_000
    columns = {
        "item": np.arange(n),
        "title": [f"title {k}" for k in range(n)],
        "kind": [f"kind {k % 9}" for k in range(n)],
    }
    shop.ingest(items=pd.DataFrame(columns))
    kinds = {name: column.kind for name, column in read_items(shop.database).columns.items()}
    assert kinds == {"title": "text", "kind": "string"}


def test_items_of_events_alone_are_in_the_catalogue_without_attributes(shop):
    shop.ingest(events={"user": ["u", "u"], "item": ["only", "both"]}, items={"item": ["both"], "price": [1.0]})
    catalogue = read_items(shop.database)
    row = shop.ids.items.row("only")
    assert (catalogue.n, values(catalogue, "price")[row], catalogue.available[row]) == (2, None, 1)


DAY = 86_400_000_000


def test_a_version_is_valid_from_its_day_to_the_next(shop):
    days = [datetime(1970, 1, 2, tzinfo=UTC), datetime(1970, 1, 4, tzinfo=UTC), datetime(1970, 1, 6, tzinfo=UTC)]
    rows = {"item": ["a", "a", "a"], "valid_from": days, "price": [1.0, 2.0, 2.0], "available": [True, True, False]}
    assert shop.ingest(items=rows).sources[0].stored == 3
    seen = {as_of: read_items(shop.database, as_of=as_of * DAY) for as_of in (0, 1, 2, 3, 5)}
    assert {k: values(c, "price")[0] for k, c in seen.items()} == {0: None, 1: 1.0, 2: 1.0, 3: 2.0, 5: 2.0}
    assert [c.available[0] for c in seen.values()] == [1, 1, 1, 1, 0]
    assert read_items(shop.database).since.tolist() == [DAY]
    assert shop.ingest(items=rows).sources[0].stored == 0


def test_a_change_that_goes_back_is_a_version_too_and_equal_ones_are_none(shop):
    days = [datetime(2020, 1, d, tzinfo=UTC) for d in (1, 2, 3, 4)]
    assert shop.ingest(items={"item": ["a"], "p": [1.0]}).sources[0].stored == 1
    rows = {"item": ["a"] * 4, "valid_from": days, "p": [2.0, 2.0, 1.0, 1.0]}
    assert shop.ingest(items=rows).sources[0].stored == 2
    moments = [int(d.timestamp() * 1e6) for d in days]
    assert [values(read_items(shop.database, as_of=m), "p")[0] for m in moments] == [2.0, 2.0, 1.0, 1.0]


def test_without_a_date_a_first_version_is_since_ever_and_a_later_one_from_now(shop):
    shop.ingest(items={"item": ["a", "b"], "price": [1.0, 1.0]})
    report = shop.ingest(items={"item": ["a", "b"], "price": [1.0, 9.0]})
    assert (report.sources[0].stored, report.sources[0].duplicates) == (1, 1)
    assert values(read_items(shop.database), "price") == [1.0, 9.0]
    assert values(read_items(shop.database, as_of=0), "price") == [1.0, 1.0]


def test_a_source_that_is_silent_about_an_attribute_leaves_it(shop):
    shop.ingest(items={"item": ["a", "b"], "price": [1.0, 2.0], "brand": ["x", "y"], "available": [False, True]})
    shop.ingest(items={"item": ["a"], "price": [5.0]})
    catalogue = read_items(shop.database)
    assert (values(catalogue, "price"), values(catalogue, "brand"), catalogue.available.tolist()) == (
        [5.0, 2.0],
        ["x", "y"],
        [0, 1],
    )
    shop.ingest(items={"item": ["a"], "brand": pa.array([None], pa.string())})
    assert values(read_items(shop.database), "brand") == [None, "y"]


def test_the_last_of_two_rows_of_one_item_counts(shop):
    report = shop.ingest(items={"item": ["a", "a"], "price": [1.0, 2.0]})
    assert (report.sources[0].stored, report.sources[0].duplicates) == (1, 1)
    assert values(read_items(shop.database), "price") == [2.0]


CONFLICTS = [
    ("price", ["cheap"], "'price' is VARCHAR here, and a number in the store"),
    ("brand", [[1.5]], r"'brand' is DOUBLE\[\] here, and a string in the store"),
    ("v", [[1.0, 2.0, 3.0]], "'v' have 3 numbers, 2 expected"),
    ("deep", [{"x": 1}], "'deep' is STRUCT"),
    ("bad\nname", [1.0], "cannot name an attribute"),
]


@pytest.mark.parametrize(("name", "column", "message"), CONFLICTS)
def test_a_type_that_conflicts_is_named_and_nothing_is_written(shop, name, column, message):
    shop.ingest(items={"item": ["a"], "price": [1.0], "brand": ["x"], "v": [[1.0, 2.0]]})
    with pytest.raises(BadColumn, match=message):
        shop.ingest(items={"item": ["b"], name: column})
    assert read_items(shop.database).n == 1


def test_vectors_of_two_lengths_are_refused(shop):
    with pytest.raises(BadColumn, match="2 to 3 numbers"):
        shop.ingest(items={"item": ["a", "b"], "v": [[1.0, 2.0], [1.0, 2.0, 3.0]]})


def test_bad_rows_of_items_are_set_aside_with_their_reason(shop):
    rows = {
        "item": ["ok", None, "inf", "vec", "ok2"],
        "price": [1.0, 1.0, float("inf"), 1.0, float("nan")],
        "v": [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0, float("nan")], None],
    }
    report = shop.ingest(items=rows)
    assert report.sources[0].quarantined == {
        "id is missing or not an id": 1,
        "attribute price is infinite": 1,
        "attribute v has an entry that is not a finite number": 1,
    }
    assert shop.ids.items.ids(np.arange(2, dtype=np.int32)) == ["ok", "ok2"]
    assert values(read_items(shop.database), "price") == [1.0, None]


def test_users_are_read_as_items_are(shop):
    shop.ingest(
        users=[User(user_id="u", attributes={"age": 7, "country": "de"}), User(user_id="w", attributes={"age": 8})]
    )
    catalogue = read_users(shop.database)
    assert (values(catalogue, "age"), values(catalogue, "country")) == ([7.0, 8.0], ["de", None])


def test_attribute_names_may_be_anything_printable(shop):
    names = ['quote"d', "semi;colon", "Upper", "upper", "row", "seq", "\u00fcber x", "a0"]
    shop.ingest(items=pa.table({"item": ["a"]} | {name: [float(k)] for k, name in enumerate(names) if name != "upper"}))
    found = read_items(shop.database)
    assert {name: values(found, name)[0] for name in found.columns} == {
        n: float(k) for k, n in enumerate(names) if n != "upper"
    }
