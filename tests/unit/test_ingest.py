"""Ingest: every format and frame gives the same store, and a second ingest changes nothing."""

import gzip
import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recengine.errors import BadColumn, DataError
from recengine.store.events import read_events
from recengine.store.vocab import load_vocabularies
from recengine.types import Event
from tests.unit.ingesting import opened

S = 1_600_000_000
ROWS = [("u1", "007", "view", 1.5, S), ("u2", "x", "click", 2.0, S + 60), ("u1", "x", "view", -1.0, S + 30)]
EXPECTED = [(u, i, t, v, s * 1_000_000) for u, i, t, v, s in ROWS]
NAMES = ("user_id", "item_id", "type", "value", "timestamp")


@pytest.fixture
def shop(tmp_path):
    with opened(tmp_path / "shop") as shop:
        yield shop


def table():
    return pa.table(dict(zip(NAMES, zip(*ROWS, strict=True), strict=True)))


def csv():
    return "\n".join([",".join(NAMES), *(",".join(map(str, row)) for row in ROWS)]) + "\n"


def jsonl():
    return "".join(json.dumps(dict(zip(NAMES, row, strict=True))) + "\n" for row in ROWS)


FILES = {
    "e.parquet": lambda p: pq.write_table(table(), p),
    "e.csv": lambda p: p.write_text(csv()),
    "e.tsv": lambda p: p.write_text(csv().replace(",", "\t")),
    "e.csv.gz": lambda p: p.write_bytes(gzip.compress(csv().encode())),
    "e.csv.zst": lambda p: pa.output_stream(p, compression="zstd").write(csv().encode()),
    "e.jsonl": lambda p: p.write_text(jsonl()),
    "e.ndjson.gz": lambda p: p.write_bytes(gzip.compress(jsonl().encode())),
    "e.jsonl.zst": lambda p: pa.output_stream(p, compression="zstd").write(jsonl().encode()),
    "e.json": lambda p: p.write_text(json.dumps([dict(zip(NAMES, row, strict=True)) for row in ROWS])),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_events(shop, tmp_path, name):
    FILES[name](tmp_path / name)
    report = shop.ingest(events=tmp_path / name)
    assert shop.events() == EXPECTED
    assert (report.sources[0].stored, report.sources[0].new_users, report.sources[0].new_items) == (3, 2, 2)


FRAMES = {
    "pyarrow": table,
    "pandas": lambda: table().to_pandas(),
    "polars": lambda: pl.from_arrow(table()),
    "reader": lambda: table().to_reader(),
    "columns": lambda: table().to_pydict(),
    "dicts": lambda: table().to_pylist(),
    "structs": lambda: [Event(user_id=u, item_id=i, type=t, value=v, order=s) for u, i, t, v, s in ROWS],
    "datetimes": lambda: [
        Event(user_id=u, item_id=i, type=t, value=v, order=datetime.fromtimestamp(s, UTC)) for u, i, t, v, s in ROWS
    ],
}


@pytest.mark.parametrize("name", FRAMES)
def test_every_frame_gives_the_same_events(shop, name):
    shop.ingest(events=FRAMES[name]())
    assert shop.events() == EXPECTED


def test_globs_and_lists_read_all_files_in_the_order_of_their_names(shop, tmp_path):
    for k in range(len(ROWS)):
        pq.write_table(table().slice(k, 1), tmp_path / f"part-{k}.parquet")
    shop.ingest(events=str(tmp_path / "part-*.parquet"))
    assert shop.events() == EXPECTED
    shop.ingest(events=[tmp_path / "part-0.parquet", tmp_path / "part-2.parquet"])
    assert shop.events() == EXPECTED


def test_columns_are_mapped_as_told_and_else_by_name(shop):
    frame = table().rename_columns(["a", "b", "Event Type", "Rating", "ts"])
    shop.ingest(events=frame, columns={"user": "a", "item": "b"})
    assert shop.events() == EXPECTED


@pytest.mark.parametrize(("value", "default"), [(None, "interaction"), (3.0, "rating")])
def test_without_a_type_an_event_is_a_rating_or_an_interaction(shop, value, default):
    columns = {"user": ["u"], "item": ["i"], "order": [S]} | ({"rating": [value]} if value else {})
    shop.ingest(events=columns)
    assert shop.events()[0][2] == default


@pytest.mark.parametrize(
    "order",
    [
        [S, S + 1],
        [S * 1_000, S * 1_000 + 1_000],
        [S * 1_000_000, S * 1_000_000 + 1_000_000],
        [S * 1_000_000_000, (S + 1) * 1_000_000_000],
        [float(S), S + 1.0],
        [str(S), str(S + 1)],
        ["2020-09-13T12:26:40Z", "2020-09-13 14:26:41+02:00"],
        ["2020-09-13 12:26:40", "2020-09-13 12:26:41 UTC"],
        [datetime(2020, 9, 13, 12, 26, 40), datetime(2020, 9, 13, 12, 26, 41)],  # noqa: DTZ001
        pa.array([S, S + 1], pa.timestamp("s", "Europe/Berlin")),
    ],
    ids=["s", "ms", "us", "ns", "float", "text s", "iso", "text", "naive", "zone"],
)
def test_moments_are_understood_in_every_form(shop, order):
    shop.ingest(events=pa.table({"user": ["a", "a"], "item": ["x", "y"], "order": order}))
    assert [row[4] for row in shop.events()] == [S * 1_000_000, (S + 1) * 1_000_000]


def test_small_integers_only_sort_and_the_unit_can_be_told(shop):
    shop.ingest(events={"user": ["a", "a"], "item": ["x", "y"], "pos": [7, 3]}, columns={"order": "pos"})
    assert [row[4] for row in shop.events()] == [7, 3]
    with pytest.raises(BadColumn, match="timestamps"):
        shop.ingest(events={"user": ["a"], "item": ["z"], "order": [9]}, order_unit="s")
    assert len(shop.events()) == 2


def test_without_an_order_events_follow_the_stored_ones(shop):
    first, second = ({"user": ["a", "b"], "item": items} for items in (["x", "y"], ["z", "x"]))
    shop.ingest(events=first)
    shop.ingest(events=second)
    assert [row[4] for row in shop.events()] == [0, 1, 2, 3]
    assert shop.ingest(events=first).sources[0].stored == 0
    assert shop.ingest(events=second).sources[0].duplicates == 2
    assert len(shop.events()) == 4


def test_a_second_ingest_stores_nothing_but_the_new(shop):
    doubled = pa.concat_tables([table(), table().slice(0, 1)])  # the same event twice is two events ..
    assert shop.ingest(events=doubled).sources[0].stored == 4
    assert shop.ingest(events=doubled).sources[0].stored == 0  # .. and stays two
    longer = pa.concat_tables([doubled, table().slice(0, 1)])
    report = shop.ingest(events=longer)
    assert (report.sources[0].stored, report.sources[0].duplicates) == (1, 4)
    assert len(shop.events()) == 5


def test_an_event_id_counts_once_within_a_file_and_after(shop):
    rows = {"user": ["a", "a", "b"], "item": ["x", "x", "y"], "order": [S, S, S], "event_id": ["e1", "e1", None]}
    assert shop.ingest(events=rows).sources[0].stored == 2
    assert shop.ingest(events=rows).sources[0].stored == 0
    other = {"user": ["a", "c"], "item": ["z", "z"], "order": [S + 9, S + 9], "event_id": ["e1", "e2"]}
    assert shop.ingest(events=other).sources[0].stored == 1
    texts = shop.database.read().rows("SELECT event_id FROM event_ids ORDER BY ALL")
    assert texts == [("e1",), ("e2",)]


def test_an_event_id_counts_once_without_an_order_too(shop):
    rows = {"user": ["a", "a", "b"], "item": ["x", "x", "y"], "event_id": ["e1", "e1", None]}
    assert shop.ingest(events=rows).sources[0].stored == 2
    assert shop.ingest(events=rows).sources[0].stored == 0  # the same source
    again = {"user": ["a", "c", "b"], "item": ["x", "x", "y"], "event_id": ["e1", "e2", None]}
    report = shop.ingest(events=again).sources[0]  # e1 was delivered again; an event without an id is a new one
    assert (report.stored, report.duplicates) == (2, 1)
    assert [row[:2] for row in shop.events()] == [("a", "x"), ("b", "y"), ("c", "x"), ("b", "y")]
    renamed = again | {"event_id": ["e3", "e4", "e5"]}
    assert shop.ingest(events=renamed).sources[0].stored == 3  # the same content under other ids is not known
    assert shop.ingest(events=again).sources[0].stored == 0


def test_sessions_and_requests_are_kept(shop):
    rows = {
        "user": ["a", "b"],
        "item": ["x", "y"],
        "order": [S, S + 1],
        "session_id": ["s", ""],
        "request_id": [None, "r"],
    }
    shop.ingest(events=rows)
    assert shop.database.read().rows("SELECT * FROM event_ids ORDER BY seq") == [
        (0, None, "s", None),
        (1, None, None, "r"),
    ]


def test_rows_of_ids_never_change_over_ingests_and_reopening(tmp_path):
    rng = np.random.default_rng(0)
    with opened(tmp_path / "shop") as shop:
        for k in range(4):
            users = rng.integers(-50, 50 * (k + 1), 500)
            items = rng.integers(10**15, 10**15 + 10**9, 500)  # too wide for a table
            before = shop.ids.users.ids(np.arange(len(shop.ids.users), dtype=np.int32))
            shop.ingest(events={"user": users, "item": items, "order": S + np.arange(500) + 500 * k})
            assert shop.ids.users.ids(np.arange(len(before), dtype=np.int32)) == before
            assert [row[0] for row in shop.events()][-500:] == [str(u) for u in users]
            assert [row[1] for row in shop.events()][-500:] == [str(i) for i in items]
        events = [row[:3] + row[4:] for row in shop.events()]
    with opened(tmp_path / "shop") as shop:
        assert [row[:3] + row[4:] for row in shop.events()] == events


def test_ids_of_a_frame_with_gaps_are_whole_numbers(shop):
    frame = pd.DataFrame({"user": [7, None, 8], "item": ["x", "y", "z"], "order": [S, S, S]})
    report = shop.ingest(events=frame)
    assert [row[0] for row in shop.events()] == ["7", "8"]
    assert report.sources[0].quarantined == {"user is missing or not an id": 1}


def test_events_are_read_by_user_time_and_number_and_cut_at_a_moment(shop):
    shop.ingest(
        events={"user": ["b", "a", "b", "a"], "item": ["x", "x", "y", "y"], "order": [S + 3, S + 2, S + 1, S + 2]}
    )
    read = read_events(shop.database)
    assert shop.ids.users.ids(read.user) == ["b", "b", "a", "a"]
    assert read.seq.tolist() == [2, 0, 1, 3]
    assert read_events(shop.database, as_of=(S + 2) * 1_000_000).seq.tolist() == [2, 1, 3]
    assert read_events(shop.database, users=np.array([1], np.int32)).seq.tolist() == [1, 3]
    assert read_events(shop.database, after=1).seq.tolist() == [2, 3]
    assert [a.dtype.name for a in (read.user, read.item, read.type, read.value)] == [
        "int32",
        "int32",
        "int16",
        "float32",
    ]


def test_types_that_the_configuration_lacks_are_reported(shop):
    rows = {"user": ["a", "b", "c"], "item": ["x", "y", "z"], "type": ["view", "odd", "odd"], "order": [S, S, S]}
    assert shop.ingest(events=rows).sources[0].unknown_types == {"odd": 2}
    assert load_vocabularies(shop.database).types.row("odd") == 1


def test_progress_is_told_and_nothing_is_refused(shop):
    seen = []
    shop.ingest(events=table(), progress=lambda *told: seen.append(told))
    assert seen == [("events", 3, 3)]
    with pytest.raises(DataError, match="nothing to ingest"):
        shop.ingest()
