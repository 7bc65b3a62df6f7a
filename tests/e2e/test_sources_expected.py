"""`[[expect]]` of a source into a table: every kind and every `otherwise`, pulled from a real SQLite file."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from recengine import Engine, config
from recengine.errors import ExpectationFailed, RowsRefused
from recengine.store.tables import read_timeline

COLUMNS = "sku TEXT, day TEXT, price REAL, shelf TEXT, code TEXT, live TEXT, seen TEXT, changed BIGINT"
GOOD = [
    ("a", "2025-01-01", 1.0, "red", "1", "true", "2025-01-01T10:00", 10),
    ("b", "2025-01-01", 2.0, "blue", "2", "no", "1735700000", 11),
]
BAD = [
    ("a", "2025-02-01", 3.0, "red", "3", "false", "2025-01-31", 20),
    ("b", "2025-02-01", -2.0, "blue", "4", "1", "yesterday", 21),
    ("c", "2025-02-01", 300.0, "green", "4", "maybe", None, 22),
    ("d", "2025-02-01", None, "red", "x", None, "2025-01-31 12:00+01", 23),
    ("e", "2025-02-01", 5.0, "", "5", "", "2025-02-30", 24),
]
BROKEN = {
    "number": ({"column": "code", "type": "number"}, "a value of type number", "'x'", [4]),
    "integer": ({"column": "code", "type": "integer"}, "a value of type integer", "'x'", [4]),
    "bool": ({"column": "live", "type": "bool"}, "a value of type bool", "'maybe'", [3]),
    "timestamp": ({"column": "seen", "type": "timestamp"}, "a value of type timestamp", "'yesterday'", [2, 5]),
    "min": ({"column": "price", "min": 0}, "at least 0", "'-2.0'", [2]),
    "max": ({"column": "price", "max": 100}, "at most 100", "'300.0'", [3]),
    "values": ({"column": "shelf", "values": ("red", "blue")}, "one of red, blue", "'green'", [3]),
    "null_share": ({"column": "price", "null_share": 0.1}, "a value in all but 0.1 of the rows", "none in 0.2", [4]),
    "unique": ({"column": "code", "unique": True}, "no value twice", "'4'", [3]),
    "refers": ({"column": "item", "refers": "items"}, "the id of one of the described items", "'c'", [3, 4, 5]),
}


@pytest.fixture
def table(tmp_path):
    """Replace what the SQLite file holds."""

    def fill(rows):
        with closing(sqlite3.connect(tmp_path / "shelf.db")) as opened, opened:
            opened.execute("DROP TABLE IF EXISTS prices")
            opened.execute(f"CREATE TABLE prices ({COLUMNS})")
            opened.executemany("INSERT INTO prices VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    fill(GOOD)
    return fill


def opened(tmp_path, *expected, cleaning=None, **more):
    source = {"uri": f"sqlite:///{tmp_path / 'shelf.db'}", "table": "prices", "columns": {"item": "sku", "time": "day"}}
    tree = config.Config(
        source=(config.Source(name="prices", into="table", **{**source, "watermark": "changed", **more}),),
        cleaning=cleaning or config.Cleaning(),
        expect=tuple(config.Expectation(**{"source": "prices", **said}) for said in expected),
    )
    engine = Engine.open(tmp_path / "shop", config=tree, create=True)
    engine.ingest(items=[{"item_id": "a"}, {"item_id": "b"}])
    return engine


def held(engine, column="price"):
    """Every value of a column with its item, in the order in which they hold."""
    said = read_timeline(engine._database, "prices", column)
    values = said.value.tolist() if said.labels is None else [said.labels[int(code)] for code in said.value]
    return [(engine._ids.items.id(int(row)), value) for row, value in zip(said.row, values, strict=True)]


def stored(engine):
    """All that the store has of the table, also of items that are not described."""
    rows = engine._database.read().rows("SELECT item_id, number, label FROM external_values ORDER BY seq")
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_hard_expectation_leaves_the_last_good_data_and_is_the_error_of_the_pull(table, tmp_path, name):
    said, expected, came, rows = BROKEN[name]
    with opened(tmp_path, said) as engine:
        assert engine.pull("prices").sources[0].stored == 2
        before = stored(engine)
        table(BAD)
        with pytest.raises(ExpectationFailed) as caught:
            engine.pull("prices")
        text = str(caught.value)
        assert f"prices.{said['column']}: expected {expected}, came {came}" in text
        assert f"in {len(rows)} rows, the first of them row {rows[0]} of prices" in text
        assert stored(engine) == before
        assert held(engine) == [("a", 1.0), ("b", 2.0)]
        (state,) = engine.sources()
        assert (state.failures, state.rows) == (1, 2)
        assert f"expected {expected}" in state.error
        table([row for n, row in enumerate(BAD, 1) if n not in rows])
        assert engine.pull("prices").sources[0].stored == 5 - len(rows), "from the mark of the last good one"
        assert engine.sources()[0].error is None
    assert not list((tmp_path / "shop").glob("quarantine/*"))


@pytest.mark.parametrize("name", BROKEN)
def test_rows_that_break_a_soft_one_are_set_aside_whole_and_no_others(table, tmp_path, name):
    said, expected, _, rows = BROKEN[name]
    table(BAD)
    with opened(tmp_path, {**said, "otherwise": "quarantine"}) as engine:
        report = engine.pull("prices")
        source = report.sources[0]
        assert source.quarantined == {f"{said['column']}: expected {expected}": len(rows)}
        assert (source.rows, source.stored, source.duplicates) == (5, 5 - len(rows), 0)
        kept = pq.read_table(report.quarantine[0]).to_pylist()
        assert [row["_row"] for row in kept] == rows
        assert [(row["sku"], row["price"]) for row in kept] == [(BAD[n - 1][0], BAD[n - 1][2]) for n in rows]
        assert {item for item, *_ in stored(engine)} == {row[0] for n, row in enumerate(BAD, 1) if n not in rows}
        result = source.expectations[0]
        assert (result.outcome, result.rows, result.row) == ("quarantined", len(rows), rows[0])


@pytest.mark.parametrize("name", BROKEN)
def test_rows_that_break_a_mild_one_are_stored_and_told(table, tmp_path, name):
    said, _, _, rows = BROKEN[name]
    table(BAD)
    with opened(tmp_path, {**said, "otherwise": "report"}) as engine:
        report = engine.pull("prices")
        assert (report.sources[0].stored, report.quarantine) == (5, ())
        result = report.sources[0].expectations[0]
        assert (result.outcome, result.rows, result.row) == ("reported", len(rows), rows[0])


def test_numbers_are_clipped_and_what_is_no_number_is_set_aside(table, tmp_path):
    table([*BAD, ("b", "2025-02-02", "oops", "red", "6", None, None, 25)])
    with opened(tmp_path, {"column": "price", "min": 0, "max": 100, "otherwise": "clip"}) as engine:
        report = engine.pull("prices")
        source = report.sources[0]
        assert source.repaired == {"price is not at least 0: clipped": 1, "price is not at most 100: clipped": 1}
        assert (source.rows, source.stored, sum(source.quarantined.values())) == (6, 5, 1)
        assert pq.read_table(report.quarantine[0])["price"].to_pylist() == ["oops"]
        assert {(item, number) for item, number, label in stored(engine) if label is None and number is not None} >= {
            ("a", 3.0), ("b", 0.0), ("c", 100.0), ("e", 5.0),
        }
        assert held(engine) == [("a", 3.0), ("b", 0.0)]


def test_a_table_that_is_not_fresh_is_refused_or_reported(table, tmp_path):
    with opened(tmp_path, {"column": "time", "fresh": "1d"}) as engine:
        with pytest.raises(ExpectationFailed, match=r"prices\.time: expected a moment within the last 1d, came 2025-01-01T"):
            engine.pull("prices")
        assert stored(engine) == []
        table([*GOOD, ("a", (datetime.now(UTC) - timedelta(hours=1)).isoformat(), 9.0, "red", "1", None, None, 12)])
        assert engine.pull("prices").sources[0].stored == 3
    with opened(tmp_path / "other", {"column": "time", "fresh": "1d", "otherwise": "report"}, uri=f"sqlite:///{tmp_path / 'shelf.db'}") as engine:
        table(GOOD)
        assert engine.pull("prices").sources[0].expectations[0].outcome == "reported"
        assert held(engine) == [("a", 1.0), ("b", 2.0)]


def test_a_column_that_the_table_lacks_breaks_what_is_said_of_it(table, tmp_path):
    with opened(tmp_path, {"column": "prize", "min": 0}) as engine:
        with pytest.raises(ExpectationFailed, match=r"prices\.prize: expected at least 0, came no such column"):
            engine.pull("prices")
        assert stored(engine) == []


def test_what_another_source_is_held_to_says_nothing_of_a_table(table, tmp_path):
    with opened(tmp_path, {"source": "events", "column": "price", "min": 100}) as engine:
        source = engine.pull("prices").sources[0]
        assert (source.stored, source.expectations) == (2, ())


def test_strict_refuses_rows_that_would_be_set_aside(table, tmp_path):
    table(BAD)
    with opened(tmp_path, {"column": "price", "min": 0, "otherwise": "quarantine"}) as engine:
        with pytest.raises(RowsRefused, match="price: expected at least 0"):
            engine.pull("prices", strict=True)
        assert stored(engine) == []


def test_a_word_among_the_numbers_of_a_known_column_is_a_bad_row_and_no_other_column(table, tmp_path):
    with opened(tmp_path) as engine:
        engine.pull("prices")
        table([("a", "2025-03-01", "oops", "red", "7", None, None, 30), ("b", "2025-03-01", 4.0, "blue", "8", None, None, 31)])
        assert engine.pull("prices").sources[0].quarantined == {"a value is no finite number": 1}
        assert sorted(held(engine)) == [("a", 1.0), ("b", 2.0), ("b", 4.0)]


def test_ids_of_a_table_in_a_file_are_taken_as_they_stand_there(tmp_path):
    (tmp_path / "prices.csv").write_text("item_id,price\n007,1\n7,2\n")
    with opened(tmp_path, uri=str(tmp_path / "prices.csv"), table=None, columns={}, watermark=None) as engine:
        engine.pull("prices")
        assert sorted(stored(engine)) == [("007", 1.0, None), ("7", 2.0, None)]


def test_a_table_of_a_file_is_clipped_across_files_by_what_each_holds(tmp_path):
    for name, rows in (("a", "a,2025-01-01,-5\nb,2025-01-01,7\n"), ("b", "a,2025-01-02,900\nb,2025-01-02,x\n")):
        (tmp_path / f"part-{name}.csv").write_text(f"item,time,price\n{rows}")
    said = {"column": "price", "min": 0, "max": 100, "otherwise": "clip"}
    with opened(tmp_path, said, uri=str(tmp_path / "part-*.csv"), table=None, columns={}, watermark=None) as engine:
        report = engine.pull("prices")
        assert report.sources[0].quarantined == {"price: expected a value of type number": 1}
        assert sorted(held(engine)) == [("a", 0.0), ("a", 100.0), ("b", 7.0)]


def test_moments_of_a_table_that_name_no_zone_are_read_on_the_clocks_of_the_shop_and_counted(table, tmp_path):
    table([("a", "2025-03-30 02:30", 1.0, "red", "1", None, None, 10), ("b", "2025-06-01 12:00", 2.0, "blue", "2", None, None, 11)])
    with opened(tmp_path, cleaning=config.Cleaning(timezone="Europe/Berlin")) as engine:
        assert engine.pull("prices").sources[0].repaired == {
            "day names no zone: read in Europe/Berlin": 2,
            "day is in an hour that the clocks of Europe/Berlin skip: put forward": 1,
        }
        noon = datetime(2025, 6, 1, 10, tzinfo=UTC).timestamp() * 1e6
        assert read_timeline(engine._database, "prices", "price").time[1] == noon
