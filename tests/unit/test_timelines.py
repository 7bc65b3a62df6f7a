"""Timelines: what queries of operators may read and must give, from when their values count, and leaks by a query."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from recengine import Engine
from recengine.config import parse
from recengine.errors import ConfigInvalid
from recengine.features.timelines import coded, evaluate, in_force_at, keep, kept
from recengine.offline.featuring import materialize
from recengine.offline.featuring.leaks import find_leaks
from recengine.offline.featuring.training import defined, training_table
from recengine.online.replay import restore
from recengine.online.timelines import Timelines
from recengine.store.tables import ExternalSink
from recengine.store.vocab import load_vocabularies
from recengine.types import NO_TIME
from tests.unit.ingesting import opened

HOUR = 3_600_000_000
DAY = 24 * HOUR
START = 1_700_006_400_000_000  # a midnight
KINDS = ["view", "purchase", "view", "rating"]


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Two weeks of events of three users with five items, prices that change, and a table of the weather."""
    rng = np.random.default_rng(5)
    n = 200
    times = np.sort(START + rng.integers(0, 14 * DAY, n)).astype("datetime64[us]")
    events = {
        "user": [f"u{u}" for u in rng.integers(0, 3, n)],
        "item": [f"i{i}" for i in rng.integers(0, 5, n)],
        "type": [KINDS[k] for k in rng.integers(0, 4, n)],
        "value": [float(v) for v in rng.integers(1, 6, n)],
        "order": times,
    }
    at = np.array([START + k * DAY for k in (0, 5, 0)]).astype("datetime64[us]")
    items = {"item": ["i0", "i0", "i1"], "valid_from": at, "price": [2.0, 3.5, 1.0], "category": ["a", "b", "a"]}
    with opened(tmp_path_factory.mktemp("timelines") / "shop") as shop:
        shop.ingest(events=events, items=items)
        shop.database.write(weather)
        yield shop.database


def weather(cursor):
    sink = ExternalSink(cursor, "weather", "context", {"degrees": "number", "sky": "label"})
    days = pa.array([START, START + 3 * DAY, START + 6 * DAY], pa.int64())
    sink.add(None, days, {"degrees": pa.array([4.0, 9.5, -1.0]), "sky": pa.array(["wet", "dry", "wet"])})
    return sink.finish(at=START)


def feature(database, sql, entity="item", **more):
    lines = "".join(f"{key} = {value!r}\n" for key, value in more.items())
    config = parse(f"[[feature]]\nname = \"asked\"\nentity = \"{entity}\"\nsql = '''{sql}'''\n{lines}")
    return defined(database, config)["asked"]


def ask(database, sql, entity="item", as_of=None, **more):
    return evaluate(database, feature(database, sql, entity, **more), timed=True, as_of=as_of)


ALWAYS = "'-infinity'::TIMESTAMP AS time"


def test_a_query_reads_items_by_name_and_counts_from_the_next_multiple_on(database):
    found = ask(database, "SELECT item_id AS entity, valid_from AS time, price * 2 AS value FROM items", every="1d")
    assert found.row.tolist() == [0, 0, 1] or len(found.row) == 3
    by_time = sorted(zip(found.value.tolist(), ((found.time - START) / DAY).tolist(), strict=True))
    assert by_time == [(2.0, 1.0), (4.0, 1.0), (7.0, 6.0)], "what becomes so at a multiple counts from the next one"
    early = ask(database, f"SELECT item_id AS entity, {ALWAYS}, price AS value FROM items WHERE item_id = 'i1'")
    assert early.time.tolist() == [NO_TIME]
    assert in_force_at(early, coded(early, ()), 5, START).tolist().count(1.0) == 1


def test_what_never_begins_is_no_entry_and_a_row_beyond_those_asked_for_is_passed_over(database):
    never = ask(database, "SELECT * FROM (VALUES ('i0', 'infinity'::TIMESTAMP, 1.0), ('i0', '-infinity', 2.0)) t(entity, time, value)")
    assert (never.time.tolist(), never.value.tolist()) == ([NO_TIME], [2.0])
    of_two = never._replace(row=np.array([0, 3], np.int32), time=np.array([NO_TIME, NO_TIME]), value=np.array([2.0, 5.0]))
    assert in_force_at(of_two, coded(of_two, ()), 1, START).tolist() == [2.0]


def test_a_query_reads_events_with_ids_types_values_and_times(database):
    counted = "SELECT item_id AS entity, time, count(*) OVER (PARTITION BY item_id ORDER BY time) AS value FROM events"
    found = ask(database, counted, every="6h")
    assert (found.time % (6 * HOUR) == 0).all()
    assert (np.diff(found.row) >= 0).all()
    last = in_force_at(found, coded(found, ()), 5, START + 20 * DAY)
    assert last.sum() == 200
    some = ask(database, "SELECT user_id AS entity, max(time) AS time, sum(value) AS value FROM events WHERE type = 'rating' GROUP BY user_id", "user")
    assert len(some.row) == 3


def test_nothing_later_than_the_moment_is_read(database):
    counts = f"SELECT item_id AS entity, {ALWAYS}, count(*) AS value FROM events GROUP BY ALL"
    whole, half = (ask(database, counts, as_of=as_of).value.sum() for as_of in (None, START + 7 * DAY))
    assert whole == 200
    assert 60 < half < 140
    prices = f"SELECT item_id AS entity, {ALWAYS}, max(price) AS value FROM items GROUP BY ALL"
    assert ask(database, prices, as_of=START + DAY).value.max() == 2.0
    skies = f"SELECT {ALWAYS}, count(sky) AS value FROM weather"
    assert ask(database, skies, "context", as_of=START + 4 * DAY).value.tolist() == [2]


def test_categories_context_and_several_values_of_one_moment(database):
    found = ask(database, "SELECT time, sky AS value FROM weather", "context", dtype="category", every="1h")
    assert found.labels == ("dry", "wet")
    assert found.row.tolist() == [0, 0, 0]
    assert coded(found, ("dry", "snow", "wet")).tolist() == [2, 0, 2]
    assert np.isnan(coded(found, ("dry",))[0])
    twice = ask(database, f"SELECT 'i0' AS entity, {ALWAYS}, x AS value FROM range(7) t(x)")
    assert twice.value.tolist() == [6], "one entry, and always the same one"
    missing = ask(database, "SELECT 'i0' AS entity, 5 AS time, NULL AS value")
    assert np.isnan(missing.value).all()
    assert len(ask(database, "SELECT item_id AS entity, valid_from AS time, price AS value FROM items WHERE false").row) == 0


@pytest.mark.parametrize(
    ("sql", "more", "message"),
    [
        ("SELEC 1", {}, "the query fails: Parser Error"),
        ("SELECT item_id FROM items", {}, "the query fails: .*entity"),
        ("SELECT item_id AS entity, valid_from AS time, cost AS value FROM items", {}, "the query fails: Binder Error.*cost"),
        ("SELECT item_id AS entity, valid_from AS time, category AS value FROM items", {}, "expected `value` to be a number, got string"),
        ("SELECT item_id AS entity, valid_from AS time, price AS value FROM items", {"dtype": "category"}, "expected `value` to be text"),
        ("SELECT item_id AS entity, category AS time, price AS value FROM items", {}, "expected `time` to be a timestamp"),
        ("SELECT item_id AS entity, NULL::TIMESTAMP AS time, price AS value FROM items", {}, "`time` is missing in 3 rows"),
        ("SELECT 'nobody' AS entity, 5 AS time, 1 AS value", {}, "1 rows are about no item that is known; the first: 'nobody'"),
        ("SELECT 1; SELECT 2", {}, "expected one SELECT, got SELECT, SELECT"),
        ("DROP TABLE events", {}, "expected one SELECT, got DROP"),
        ("", {}, "expected one SELECT, got nothing"),
        ("SELECT request_id AS entity, 5 AS time, 1 AS value FROM decisions", {}, "the query reads decisions"),
        ("SELECT item AS entity, time, value FROM main.events", {}, "the query reads main.events"),
        ("SELECT item AS entity, time, value FROM main.events AS events", {}, "the query reads main.events"),
        ("SELECT 'i0' AS entity, 5 AS time, count(*) AS value FROM query_table('main.events')", {}, "the query reads query_table"),
        ("SELECT 'i0' AS entity, 5 AS time, count(*) AS value FROM duckdb_tables()", {}, "the query reads duckdb_tables"),
        ("SELECT 'i0' AS entity, 5 AS time, count(*) AS value FROM (SHOW ALL TABLES)", {}, "the query reads DESCRIBE"),
        ("SELECT * FROM snow", {}, ".*it may read events, items, users, weather; a source once it is pulled"),
        ("SELECT entity, time, value FROM read_parquet('/tmp/x.parquet')", {}, "the query fails"),
        ("SELECT CAST('x' AS INTEGER) AS value, 5 AS time, 'i0' AS entity", {}, "the query fails: Conversion Error"),
        ("SELECT 'i0' AS entity, now() AS time, 1 AS value", {}, r"the query asks for now\(\)"),
        ("SELECT 'i0' AS entity, 5 AS time, 1 AS value FROM events WHERE time < Current_Timestamp", {}, "the query asks for current_timestamp"),
        ("SELECT 'i0' AS entity, 5 AS time, (SELECT max(random()) FROM events) AS value", {}, r"the query asks for random\(\)"),
        ("SELECT 'i0' AS entity, 5 AS time, 1 AS value FROM events WHERE time > ago(INTERVAL 7 DAYS)", {}, r"the query asks for ago\(\)"),
        ("SELECT 'i0' AS entity, 5 AS time, count(*) AS value FROM events USING SAMPLE 5", {}, "the query asks for a sample"),
        ("SELECT 'i0' AS entity, 5 AS time, count(*) AS value FROM events TABLESAMPLE 5%", {}, "the query asks for a sample"),
        ("SELECT item_id AS entity, time, epoch(age(time)) AS value FROM events", {}, r"the query asks for age\(\) of one moment"),
        ("SELECT item_id AS entity, max(time) AS time, 1 AS value FROM events GROUP BY ALL HAVING max(time) < Today()", {}, r"the query asks for today\(\)"),
        ("SELECT 'i0' AS entity, 5 AS time, reservoir_quantile(value, 0.5) AS value FROM events", {}, r"the query asks for reservoir_quantile\(\)"),
        ("WITH s AS (SELECT \"system\".main.current_setting('TimeZone') AS z) SELECT 'i0' AS entity, 5 AS time, length(z) AS value FROM s", {}, r"the query asks for current_setting\(\)"),
        ("SELECT 'i0' AS entity, 5 AS time, len(list_filter([1], lambda x: x < uuid()::TEXT::INT)) AS value", {}, r"the query asks for uuid\(\)"),
        ("SELECT $thing AS value, 5 AS time, 'i0' AS entity", {}, "the query fails"),
    ],
)
def test_a_query_that_cannot_serve_is_named_with_its_place(database, sql, more, message):
    file = database.path.parent / "recengine.toml"
    lines = "".join(f"{key} = {value!r}\n" for key, value in more.items())
    file.write_text(f"\n\n[[feature]]\nname = \"asked\"\nentity = \"item\"\nsql = '''{sql}'''\n{lines}")
    try:
        with pytest.raises(ConfigInvalid, match=rf"^recengine\.toml:3: feature 'asked': {message}"):
            training_table(database, parse(file.read_text()))
    finally:
        file.unlink()
    assert len(ask(database, f"SELECT 'i0' AS entity, {ALWAYS}, 1 AS value").row) == 1, "the cursor goes on"


def test_a_query_may_join_and_name_tables_otherwise(database):
    joined = ask(
        database,
        """SELECT e.item_id AS entity, e.time, max(i.price) + max(n.n) AS value
           FROM events e JOIN items AS i ON i.item_id = e.item_id, range(3) AS n(n) WHERE e.type = 'view' GROUP BY ALL""",
    )
    assert set(joined.value.tolist()) <= {5.5, 3.0}
    assert len(joined.row)


def test_a_query_may_be_a_long_sum(database):
    assert ask(database, f"SELECT 'i0' AS entity, {ALWAYS}, {' + '.join(['1'] * 300)} AS value").value.tolist() == [300]
    with pytest.raises(ConfigInvalid, match=r"asks for random\(\)"):
        ask(database, f"SELECT 'i0' AS entity, {ALWAYS}, random() + {' + '.join(['1'] * 300)} AS value")
    with pytest.raises(ConfigInvalid, match="nested too deep"):
        ask(database, f"SELECT 'i0' AS entity, {ALWAYS}, {' + '.join(['1'] * 900)} AS value")


def test_what_float32_cannot_hold_is_missing(database):
    huge = ask(database, "SELECT item_id AS entity, valid_from AS time, price * 1e300 AS value FROM items")
    assert np.isnan(coded(huge, ())).all()


@pytest.mark.parametrize("end", [";", "; -- a comment", " -- one; without an end", ";\n/* ; */ ;\n", " /* none */"])
def test_a_query_may_end_in_semicolons_and_comments(database, end):
    said = ask(database, f"SELECT $$i0$$ AS entity, {ALWAYS}, length($$é; -- it$$) AS value{end}")
    assert said.value.tolist() == [8]


LOADED_FIRST = """
import sys
import duckdb
first = duckdb.connect()
first.execute("LOAD icu")
first.execute("SET TimeZone = 'Europe/Berlin'")
first.execute("CREATE MACRO range(n) AS random() + n")
first.create_function("plus", lambda x: x, ["BIGINT"], "BIGINT", side_effects=True)
first.execute("SELECT range(2), plus(now()::DATE - today()), TIMESTAMPTZ '2024-01-01' + INTERVAL 1 DAY > now()").fetchall()
from pathlib import Path
from recengine.errors import ConfigInvalid
from recengine.store.asked import answered
from recengine.store.database import Database
with Database.open(Path(sys.argv[1]), create=True) as database:
    database.read().raw.execute("LOAD icu")
    def ask(value):
        sql = f"SELECT 'i0' AS entity, 5::BIGINT AS time, {value} AS value"
        return answered(database, sql, "item", {}, timed=True, as_of=None, where="recengine.toml:3").num_rows
    for value in ("1 + 2 - +3 - (-1)", "len(range(3))", "abs(-1)", "(SELECT sum(x) FROM range(4) t(x))",
                  "age(DATE '2024-01-02', DATE '2024-01-01')", "epoch(TIMESTAMPTZ '2024-01-01' + INTERVAL 1 DAY)"):
        assert ask(value) == 1, value
    for value in ("epoch(now())", "1 + random()", "epoch(localtimestamp)", "len(current_setting('TimeZone'))"):
        try:
            ask(value)
        except ConfigInvalid as err:
            assert "recengine.toml:3: the query asks for" in str(err), err
        else:
            raise AssertionError(value)
"""


def test_what_a_query_may_call_depends_on_nothing_that_the_process_loaded(tmp_path):
    script = [sys.executable, "-c", LOADED_FIRST, tmp_path / "x.duckdb"]
    there = subprocess.run(script, capture_output=True, text=True, check=False, timeout=60)
    assert there.returncode == 0, there.stderr


def test_a_query_cannot_write(database):
    writes = "WITH x AS (INSERT INTO item_ids VALUES (77, 'evil') RETURNING id) SELECT id AS entity, 5 AS time, 1 AS value FROM x"
    with pytest.raises(ConfigInvalid, match="asked"):
        ask(database, writes)
    hidden = "WITH events AS (INSERT INTO events VALUES (1, 1, 1, 1, 1, 1) RETURNING item) SELECT 'i0' AS entity, 5 AS time, 1 AS value FROM events"
    with pytest.raises(ConfigInvalid, match="asked"):
        ask(database, hidden)
    assert database.read().row("SELECT count(*) FROM events")[0] == 200
    assert database.read().row("SELECT count(*) FROM item_ids WHERE id = 'evil'")[0] == 0


SOURCE = '[[source]]\nname = "{}"\ninto = "table"\nuri = "weather.csv"\ncolumns = {{time = "day"}}\n[[feature]]\nname = "asked"\nentity = "context"\nsource = "{}"\ncolumn = "{}"\n'


def test_a_column_of_an_external_table_is_a_timeline(database):
    column = lambda text: evaluate(database, defined(database, parse(text))["asked"], timed=True)  # noqa: E731
    found = column(SOURCE.format("weather", "weather", "degrees"))
    assert found.value.tolist() == [4.0, 9.5, -1.0]
    assert ((found.time - START) / DAY).tolist() == [0, 3, 6]
    assert column(SOURCE.format("weather", "weather", "sky") + 'dtype = "category"').labels == ("dry", "wet")
    assert len(column(SOURCE.format("snow", "snow", "depth")).row) == 0, "it was never pulled: nothing is known"
    with pytest.raises(ConfigInvalid, match="feature 'asked': source 'weather' is known by context, with columns degrees, sky"):
        column(SOURCE.format("weather", "weather", "rain"))
    with pytest.raises(ConfigInvalid, match="column 'sky' holds labels, not numbers"):
        column(SOURCE.format("weather", "weather", "sky"))


def test_what_was_found_is_kept_and_read_again_while_its_definition_is_the_same(database):
    text = "[[feature]]\nname = 'asked'\nentity = 'item'\nsql = \"\"\"SELECT item_id AS entity, valid_from AS time, {} AS value FROM items\"\"\"\n"
    number = defined(database, parse(text.format("price")))["asked"]
    assert kept(database, number) is None
    (report,) = materialize(database, parse(text.format("price")))
    assert (report.name, report.version, report.entries, report.entities) == ("asked", number.version, 3, 2)
    for mine, theirs in zip(kept(database, number)[:3], evaluate(database, number, timed=True)[:3], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    materialize(database, parse(text.format("price")))
    assert len(kept(database, number).row) == 3, "once more is no more"
    label = defined(database, parse(text.format("nullif(category, 'b')") + "dtype = 'category'"))["asked"]
    assert kept(database, label) is None, "another definition"
    materialize(database, parse(text.format("nullif(category, 'b')") + "dtype = 'category'"))
    found = kept(database, label)
    assert found.labels == ("a",)
    np.testing.assert_array_equal(found.value, evaluate(database, label, timed=True).value)
    assert kept(database, number) is None
    bad = text.format("price") + text.format("nothing").replace("asked", "bad")
    with pytest.raises(ConfigInvalid, match="number 2: feature 'bad'"):
        materialize(database, parse(bad))
    assert kept(database, number) is None, "nothing is kept of either"


def test_a_forgotten_user_is_in_no_timeline(tmp_path):
    text = "[[feature]]\nname = 'asked'\nentity = 'user'\nsql = 'SELECT user_id AS entity, max(time) AS time, count(*) AS value FROM events GROUP BY ALL'\n"
    rows = [{"user_id": f"u{u}", "item_id": f"i{i}", "order": START + u * 1000 + i} for u in range(3) for i in range(3)]
    with Engine.open(tmp_path / "shop", create=True, config=parse(text)) as engine:
        engine.ingest(events=rows, order_unit="us")
        feature = defined(engine._database, engine.config)["asked"]
        materialize(engine._database, engine.config)
        assert kept(engine._database, feature).row.tolist() == [0, 1, 2]
        engine.forget("u1")
        engine._feedback.flush()
        assert kept(engine._database, feature).row.tolist() == [0, 2]


HONEST = "SELECT item_id AS entity, time, count(*) OVER (PARTITION BY item_id ORDER BY time) AS value FROM events"
PLANTED = {
    "all events ever": f"SELECT item_id AS entity, {ALWAYS}, count(*) AS value FROM events GROUP BY ALL",
    "the next event": "SELECT item_id AS entity, time, epoch(lead(time) OVER (PARTITION BY item_id ORDER BY time) - time) AS value FROM events",
    "the day's total, from its morning on": "SELECT item_id AS entity, date_trunc('day', time) - INTERVAL 1 DAY AS time, count(*) AS value FROM events GROUP BY ALL",
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_query_that_sees_the_future_is_caught(database, name):
    text = "".join(f"[[feature]]\nname = \"{name}\"\nentity = \"item\"\nsql = '''{sql}'''\n" for name, sql in (("honest", HONEST), ("planted", PLANTED[name])))
    table = training_table(database, parse(text))
    leaks = find_leaks(database, table.features, table.past, table.drawn.probes.times)
    assert set(leaks) == {"planted"}
    assert "it sees the future: as of 2023-11-" in leaks["planted"]


def test_a_query_that_fails_after_a_restart_leaves_the_last_good_answer(database):
    text = "[[feature]]\nname = 'asked'\nentity = 'item'\nsql = \"SELECT item_id AS entity, valid_from AS time, error(price) AS value FROM items\"\n"
    broken = defined(database, parse(text))["asked"]
    good = feature(database, "SELECT item_id AS entity, valid_from AS time, price AS value FROM items")
    said = evaluate(database, good, timed=True)
    with pytest.raises(ConfigInvalid, match="the query fails"):
        evaluate(database, broken, timed=True)
    timelines = Timelines(database, restore(database, load_vocabularies(database), parse("")))
    assert len(timelines._asked(broken).row) == 0
    keep(database, [(broken, said)])
    np.testing.assert_array_equal(timelines._asked(broken).value, said.value)
    assert "the query fails" in timelines.trouble["asked"]
    np.testing.assert_array_equal(timelines._asked(good).value, said.value)
    assert timelines.trouble == {}
