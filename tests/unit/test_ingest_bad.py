"""Bad input to ingest: bad rows go to quarantine, bad files are one clear error, and nothing is half-written."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recengine.errors import BadColumn, RowsRefused, SourceUnreadable
from recengine.types import Event
from tests.unit.ingesting import opened

S = 1_600_000_000
BAD = {
    "user": ["good", None, "", "x" * 300, "a\nb", "v", "v", "v", "t", "t", "t", "i", "good"],
    "item": ["x", "x", "x", "x", "x", "x", "x", "x", "x", "x", "x", None, "y"],
    "value": [1.0, 1.0, 1.0, 1.0, 1.0, float("nan"), float("inf"), -2e9, 1.0, 1.0, 1.0, 1.0, None],
    "order": [S, S, S, S, S, S, S, S, None, -5, 99 * S, S, S],
}
REASONS = {
    "user is missing or not an id": 4,
    "value is not a finite number up to 1e9": 3,
    "order is missing, or no moment between 1970 and 2200": 3,
    "item is missing or not an id": 1,
}


@pytest.fixture
def shop(tmp_path):
    with opened(tmp_path / "shop") as shop:
        yield shop


def bad_table():
    return pa.table({k: pa.array(v, from_pandas=False) for k, v in BAD.items()})


def holds_nothing(shop):
    counts = [
        shop.database.read().row(f"SELECT count(*) FROM {t}")[0]
        for t in ("events", "user_ids", "item_ids", "event_types")
    ]
    return counts == [0, 0, 0, 0] and len(shop.ids.users) == 0 and not shop.aside.exists()


def test_bad_rows_are_set_aside_whole_with_their_number_and_reason(shop):
    report = shop.ingest(events=bad_table(), order_unit="s")
    assert report.sources[0].quarantined == REASONS
    assert (report.sources[0].rows, report.sources[0].stored) == (13, 2)
    assert [row[:2] for row in shop.events()] == [("good", "x"), ("good", "y")]
    assert shop.ids.users.ids(np.arange(len(shop.ids.users), dtype=np.int32)) == ["good"]
    (file,) = report.quarantine
    aside = pq.read_table(file).to_pylist()
    assert [row["_row"] for row in aside] == list(range(2, 13))
    assert aside[2]["user"] == "x" * 300
    assert aside[2]["_reason"] == "user is missing or not an id"
    assert aside[6]["value"] == -2e9
    assert set(aside[0]) == {"_source", "_row", "_reason", "user", "item", "value", "order"}


def test_strict_refuses_everything_and_leaves_no_trace(shop):
    with pytest.raises(RowsRefused, match=r"11 bad rows.*user is missing.*rows 2, 3, 4"):
        shop.ingest(events=bad_table(), order_unit="s", strict=True)
    assert holds_nothing(shop)
    shop.ingest(events={"user": ["a"], "item": ["x"], "order": [S]}, strict=True)
    assert shop.events()[0][:2] == ("a", "x")


def test_a_bad_item_file_takes_good_events_with_it(shop):
    with pytest.raises(BadColumn, match="price"):
        shop.ingest(
            events={"user": ["a"], "item": ["x"], "order": [S]},
            users={"user": ["a"], "age": [1]},
            items={"item": ["x"], "price": [{"deep": 1}]},
        )
    assert holds_nothing(shop)
    assert shop.database.read().row("SELECT count(*) FROM user_versions") == (0,)


def test_lines_of_another_shape_are_set_aside(shop, tmp_path):
    (tmp_path / "e.csv").write_text(f"user,item,time\na,x,{S}\nb\nc,y,{S},4,5\nd,z,{S}\n")
    report = shop.ingest(events=tmp_path / "e.csv")
    assert [row[0] for row in shop.events()] == ["a", "d"]
    assert sum(report.sources[0].quarantined.values()) == 2
    aside = pq.read_table(report.quarantine[0]).to_pylist()
    assert [(row["_line"], row["_text"]) for row in aside] == [(3, "b"), (4, f"c,y,{S},4,5")]
    with pytest.raises(RowsRefused, match="columns of the header"):
        shop.ingest(events=tmp_path / "e.csv", strict=True)


def test_broken_json_lines_are_set_aside(shop, tmp_path):
    (tmp_path / "e.jsonl").write_text(
        '{"user": "a", "item": "x", "time": 1600000000}\n{"user": \n{"user": 7, "item": "y", "time": 1600000001}\n'
    )
    report = shop.ingest(events=tmp_path / "e.jsonl")
    assert [row[0] for row in shop.events()] == ["a", "7"]
    assert sum(report.sources[0].quarantined.values()) == 1


def test_values_and_times_that_are_no_numbers_are_set_aside(shop, tmp_path):
    (tmp_path / "e.csv").write_text(f"user,item,rating,time\na,x,5,{S}\nb,x,five,{S}\nc,x,,{S}\nd,x,3,soon\n")
    report = shop.ingest(events=tmp_path / "e.csv")
    assert [row[0] for row in shop.events()] == ["a", "c"]
    assert np.isnan(shop.events()[1][3])
    assert sorted(report.sources[0].quarantined.values()) == [1, 1]


UNREADABLE = {
    "absent.parquet": None,
    "cut.parquet": b"PAR1 and then nothing",
    "cut.csv.gz": b"\x1f\x8b\x08\x00 not a stream",
    "notes.docx": b"PK",
    "empty.csv": b"",
    "nothing.parquet": b"",
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_cannot_be_read_is_one_clear_error(shop, tmp_path, name):
    if UNREADABLE[name] is not None:
        (tmp_path / name).write_bytes(UNREADABLE[name])
    with pytest.raises((SourceUnreadable, BadColumn), match=name) as caught:
        shop.ingest(events=tmp_path / name)
    assert caught.value.hint
    assert holds_nothing(shop)


def test_a_file_that_breaks_off_in_the_middle_writes_nothing(shop, tmp_path):
    n = 400_000
    rng = np.random.default_rng(0)
    columns = {"user": rng.integers(0, 10**6, n), "item": rng.integers(0, 10**6, n), "order": S + np.arange(n)}
    pq.write_table(pa.table(columns), tmp_path / "e.parquet", row_group_size=50_000)
    raw = bytearray((tmp_path / "e.parquet").read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 200_000] = bytes(200_000)
    (tmp_path / "e.parquet").write_bytes(raw)
    with pytest.raises(SourceUnreadable, match=r"e\.parquet"):
        shop.ingest(events=tmp_path / "e.parquet")
    assert holds_nothing(shop)


MAPPINGS = [
    ({"user": ["a"], "thing": ["x"]}, {}, "no column is taken for item.*user, thing"),
    (
        {"user": ["a"], "item": ["x"], "ratinq": [1]},
        {"value": "rating"},
        "no column 'rating' for value.*did you mean 'ratinq'",
    ),
    ({"user": ["a"], "item": ["x"]}, {"usr": "user"}, "'usr' is not a role.*did you mean 'user'"),
    ({"user": ["a"], "item": ["x"]}, {"item": "user"}, "no column is taken for user"),
    ({"user": [["a"]], "item": ["x"]}, {}, r"'user' for user is VARCHAR\[\]"),
    ({"user": [True], "item": ["x"]}, {}, "'user' for user is BOOLEAN"),
    ({"user": ["a"], "item": ["x"], "order": [True]}, {}, "'order' for order is BOOLEAN"),
    ({"user": ["a"], "item": ["x"], "order": ["soon"]}, {}, "no row of the column 'order' has a date"),
]


@pytest.mark.parametrize(("columns", "mapping", "message"), MAPPINGS)
def test_a_column_that_cannot_serve_is_named_with_those_there_are(shop, columns, mapping, message):
    with pytest.raises(BadColumn, match=message):
        shop.ingest(events=columns, columns=mapping)
    assert holds_nothing(shop)


def test_columns_of_one_name_are_refused(shop, tmp_path):
    frame = pd.DataFrame([["a", "b", "x"]], columns=["user", "user", "item"])
    with pytest.raises(BadColumn, match="'user' stands there twice"):
        shop.ingest(events=frame)
    (tmp_path / "e.csv").write_text("user,user,item\na,b,x\n")
    with pytest.raises(BadColumn, match="'user' stands there twice"):
        shop.ingest(events=tmp_path / "e.csv")
    pq.write_table(pa.table([["a"], ["b"], ["x"]], names=["user", "user", "item"]), tmp_path / "e.parquet")
    with pytest.raises(BadColumn, match="twice"):
        shop.ingest(events=tmp_path / "e.parquet")


def test_too_many_types_mean_another_column(shop):
    n = 1_100
    with pytest.raises(BadColumn, match="event types"):
        shop.ingest(
            events={"user": ["a"] * n, "item": ["x"] * n, "type": [f"t{k}" for k in range(n)], "order": [S] * n}
        )
    assert holds_nothing(shop)


@pytest.mark.parametrize("source", [7, object(), [1, 2], "no/such/*.parquet", b"bytes"])
def test_what_is_no_source_is_refused(shop, source):
    with pytest.raises(SourceUnreadable):
        shop.ingest(events=source)


def test_columns_that_mix_types_are_refused_but_ids_may_be_numbers_or_text(shop):
    shop.ingest(events=[{"user": 7, "item": "x", "order": S}, {"user": "seven", "item": 8, "order": S}])
    assert [row[:2] for row in shop.events()] == [("7", "x"), ("seven", "8")]
    with pytest.raises(BadColumn, match="'order' mixes types"):
        shop.ingest(events=[{"user": 7, "item": "x", "order": S}, {"user": "seven", "item": 8, "order": [1]}])


def test_a_zst_file_that_was_cut_is_refused_whole(shop, tmp_path):
    whole = tmp_path / "whole.jsonl.zst"
    with pa.output_stream(str(whole)) as file:
        for k in range(20_000):
            file.write(f'{{"user_id": "u{k % 97}", "item_id": "i{k % 89}", "timestamp": {1_700_000_000 + 79 * k}}}\n'.encode())
    data = whole.read_bytes()
    cut = tmp_path / "cut.jsonl.zst"
    cut.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(SourceUnreadable, match=r"cut\.jsonl\.zst"):
        shop.ingest(events=cut)
    holds_nothing(shop)
    assert shop.ingest(events=whole).sources[0].stored == 20_000


def test_events_without_any_order_come_in_the_order_of_arrival(shop):
    report = shop.ingest(events=[Event(user_id="a", item_id=name) for name in ("x", "y", "z")])
    assert report.sources[0].stored == 3
    assert not report.quarantine
