"""External tables in the store: what is new is appended, what is known is not, and a column reads as a timeline."""

import numpy as np
import pyarrow as pa
import pytest

from recengine.errors import BadColumn
from recengine.store.database import Database
from recengine.store.tables import External, ExternalSink, count_external, externals, read_timeline
from recengine.store.vocab import save_ids
from recengine.types import NO_TIME

HOUR = 3_600_000_000
START = 1_700_000_000_000_000


@pytest.fixture
def database(tmp_path):
    with Database.open(tmp_path / "recengine.duckdb", create=True) as opened:
        opened.write(lambda c: (save_ids(c, "item_ids", 0, ["i0", "i1", "i2"]), save_ids(c, "user_ids", 0, ["u0", "u1"])))
        yield opened


def put(database, source, keyed, kinds, ids, times, at=START, **values):
    def run(cursor):
        sink = ExternalSink(cursor, source, keyed, kinds)
        arrays = {n: pa.array(v, pa.float64() if kinds[n] == "number" else pa.string()) for n, v in values.items()}
        sink.add(
            None if ids is None else pa.array(ids, pa.string()), None if times is None else pa.array(times, pa.int64()), arrays
        )
        return sink.finish(at=at)

    return database.write(run)


def listed(timeline):
    return list(zip(timeline.row.tolist(), timeline.time.tolist(), timeline.value.tolist(), strict=True))


def test_values_by_item_and_time_are_a_timeline_in_the_order_of_both(database):
    kinds = {"price": "number", "band": "label"}
    kept = put(database, "prices", "item", kinds, ["i1", "i0", "i1"], [START + HOUR, START, START], price=[3, 1, 2], band=["b", None, "a"])
    assert kept == 3
    found = read_timeline(database, "prices", "price")
    assert listed(found) == [(0, START, 1.0), (1, START, 2.0), (1, START + HOUR, 3.0)]
    assert found.keyed == "item"
    assert found.labels is None
    assert found.row.dtype == np.int32
    band = read_timeline(database, "prices", "band")
    assert band.labels == ("a", "b")
    np.testing.assert_array_equal(band.value, [np.nan, 0, 1])
    assert listed(read_timeline(database, "prices", "price", as_of=START)) == [(0, START, 1.0), (1, START, 2.0)]


def test_the_same_rows_again_add_nothing_and_a_corrected_one_counts_in_its_place(database):
    kinds = {"price": "number"}
    rows = (["i0", "i0", "i0"], [START, START + HOUR, START + 2 * HOUR])
    assert put(database, "prices", "item", kinds, *rows, price=[1, 2, 2]) == 3, "an equal value at another time is one too"
    assert put(database, "prices", "item", kinds, *rows, price=[1, 2, 2]) == 0
    assert put(database, "prices", "item", kinds, *rows, price=[1, 5, 2]) == 1
    assert [v for _, _, v in listed(read_timeline(database, "prices", "price"))] == [1.0, 5.0, 2.0]


def test_without_a_time_a_first_value_holds_since_ever_and_a_change_from_now_on(database):
    kinds = {"stock": "number"}
    assert put(database, "stock", "item", kinds, ["i0", "i1"], None, at=START, stock=[4, None]) == 1
    assert put(database, "stock", "item", kinds, ["i0", "i1"], None, at=START + HOUR, stock=[4, 7]) == 1
    assert put(database, "stock", "item", kinds, ["i0", "i1"], None, at=START + 2 * HOUR, stock=[None, 7]) == 1
    found = listed(read_timeline(database, "stock", "stock"))
    assert found[:1] == [(0, NO_TIME, 4.0)]
    assert found[2:] == [(1, NO_TIME, 7.0)]
    assert found[1][:2] == (0, START + 2 * HOUR)
    assert np.isnan(found[1][2]), "missing from then on"


def test_a_value_that_ends_is_missing_from_then_on(database):
    put(database, "promo", "item", {"rate": "number"}, ["i0", "i0"], [START, START + HOUR], rate=[0.5, None])
    assert [(t, str(v)) for _, t, v in listed(read_timeline(database, "promo", "rate"))] == [(START, "0.5"), (START + HOUR, "nan")]


def test_of_one_entity_named_twice_the_last_row_counts(database):
    put(database, "stock", "item", {"stock": "number"}, ["i0", "i0"], None, stock=[1, 2])
    assert listed(read_timeline(database, "stock", "stock")) == [(0, NO_TIME, 2.0)]


def test_time_alone_leads_to_the_weather(database):
    assert put(database, "weather", "context", {"sky": "label"}, None, [START + HOUR, START], sky=["rain", "sun"]) == 2
    found = read_timeline(database, "weather", "sky")
    assert listed(found) == [(0, START, 1.0), (0, START + HOUR, 0.0)]
    assert found.labels == ("rain", "sun")


def test_an_item_that_is_not_known_yet_counts_as_soon_as_it_is(database):
    put(database, "stock", "item", {"stock": "number"}, ["new"], None, stock=[9])
    assert listed(read_timeline(database, "stock", "stock")) == []
    database.write(lambda cursor: save_ids(cursor, "item_ids", 3, ["new"]))
    assert listed(read_timeline(database, "stock", "stock")) == [(3, NO_TIME, 9.0)]


def test_what_is_known_of_a_table_is_listed_and_held_to(database):
    put(database, "scores", "user", {"score": "number"}, ["u0", "u1"], None, score=[1, 2])
    put(database, "scores", "user", {"score": "number", "tier": "label"}, ["u0", "u1"], None, score=[1, 2], tier=["x", "y"])
    assert externals(database.read()) == {"scores": External("user", {"score": "number", "tier": "label"})}
    assert count_external(database, "u0") == 2
    with pytest.raises(BadColumn, match="known by item here, and by user"):
        put(database, "scores", "item", {"score": "number"}, ["i0"], None, score=[1])
    with pytest.raises(BadColumn, match="'tier' is a number here, and a label"):
        put(database, "scores", "user", {"tier": "number"}, ["u0"], None, tier=[1])
    with pytest.raises(BadColumn, match="no column 'nope'.*it has score, tier"):
        read_timeline(database, "scores", "nope")
    with pytest.raises(BadColumn, match="ingest --source other"):
        read_timeline(database, "other", "x")
