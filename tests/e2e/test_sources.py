"""Configured sources, from a real SQLite file and a real PostgreSQL: what is new is pulled, and trouble changes nothing."""

import json
import logging
import threading
import time

import numpy as np
import pytest

from recengine import Engine
from recengine.cli import main
from recengine.errors import BadUsage, ConfigInvalid, RowsRefused, SourceUnreadable
from recengine.store.tables import read_timeline
from tests.e2e.shelves import PRODUCTS, START, Lite, counts, opened


def test_a_pull_brings_what_is_at_or_above_the_mark_of_the_last_one(shelf, tmp_path):
    shelf.run(PRODUCTS, "INSERT INTO products VALUES ('a', 1.5, 'x', 10), ('b', 2.25, 'y', 20), ('c', 3, NULL, NULL)")
    with opened(tmp_path, {"uri": shelf.uri, "table": "products", "columns": {"item": "sku"}, "watermark": "changed"}) as engine:
        assert counts(engine.pull("shelf")) == [(3, 3, 0)]
        assert engine.item("b").attributes == {"price": 2.25, "brand": "y", "changed": 20.0}
        shelf.run("INSERT INTO products VALUES ('d', 4, 'x', 20), ('e', 5, 'x', 15)", "UPDATE products SET price = 9 WHERE sku = 'a'")
        assert counts(engine.pull("shelf")) == [(3, 1, 2)], "b and c again, d with the same mark; not e, which came late"
        shelf.run("UPDATE products SET price = 7, changed = 30 WHERE sku = 'a'")
        assert counts(engine.pull("shelf")) == [(4, 1, 3)], "the changed row, those at the mark, and the one without"
        assert engine.item("a").attributes["price"] == 7.0
    with opened(tmp_path, {"uri": shelf.uri, "table": "products", "columns": {"item": "sku"}, "watermark": "changed"}) as engine:
        assert counts(engine.pull("shelf")) == [(2, 0, 2)], "the mark is kept"
    with opened(tmp_path, {"uri": shelf.uri, "query": "SELECT * FROM products -- all;", "columns": {"item": "sku"}, "watermark": "changed"}) as engine:
        assert counts(engine.pull("shelf")) == [(5, 1, 4)], "another question begins anew"


def test_events_with_ids_count_once_however_often_they_are_pulled(shelf, tmp_path):
    rows = ", ".join(f"('e{k}', 'u{k % 3}', 'i{k % 4}', 'purchase', {START + k})" for k in range(12))
    shelf.run("CREATE TABLE log (event_id TEXT, user_id TEXT, item_id TEXT, type TEXT, at BIGINT)", f"INSERT INTO log VALUES {rows}")
    with opened(tmp_path, {"into": "events", "uri": shelf.uri, "table": "log"}) as engine:
        assert counts(engine.pull("shelf")) == [(12, 12, 0)]
        assert counts(engine.pull("shelf")) == [(12, 0, 12)]
        assert engine.interactions().n_users == 3


def test_external_tables_are_known_by_item_and_time_by_user_and_by_time_alone(shelf, tmp_path):
    shelf.run("CREATE TABLE prices (sku TEXT, day TEXT, price REAL)", "INSERT INTO prices VALUES ('a', '2025-01-01', 1.5), ('a', '2025-01-02', 2), ('zz', '2025-01-01', 9)")
    shelf.run("CREATE TABLE scores (user_id TEXT, tier TEXT)", "INSERT INTO scores VALUES ('u1', 'gold'), ('u2', NULL)")
    shelf.run("CREATE TABLE weather (day TEXT, sky TEXT, degrees INTEGER)", "INSERT INTO weather VALUES ('2025-01-01', 'sun', 3), ('2025-01-02', 'rain', 2)")
    tables = [
        {"name": "prices", "into": "table", "uri": shelf.uri, "table": "prices", "columns": {"item": "sku", "time": "day"}},
        {"name": "scores", "into": "table", "uri": shelf.uri, "table": "scores"},
        {"name": "weather", "into": "table", "uri": shelf.uri, "table": "weather"},
    ]
    with opened(tmp_path, *tables) as engine:
        engine.ingest(items=[{"item_id": "a"}], users=[{"user_id": "u1"}, {"user_id": "u2"}])
        assert [counts(engine.pull(name)) for name in ("prices", "scores", "weather")] == [[(3, 3, 0)], [(2, 1, 1)], [(2, 2, 0)]]
        prices = read_timeline(engine._database, "prices", "price")
        assert (prices.keyed, prices.row.tolist(), prices.value.tolist()) == ("item", [0, 0], [1.5, 2.0])
        assert np.diff(prices.time).tolist() == [86_400_000_000]
        assert read_timeline(engine._database, "scores", "tier").labels == ("gold",)
        weather = read_timeline(engine._database, "weather", "degrees")
        assert (weather.keyed, weather.value.tolist()) == ("context", [3.0, 2.0])
        assert len(engine.items()[0]) == 1, "an item that only a table names is nothing to recommend"
        shelf.run("UPDATE prices SET price = 8 WHERE day = '2025-01-02'")
        assert counts(engine.pull("prices")) == [(3, 1, 2)]
        assert read_timeline(engine._database, "prices", "price").value.tolist() == [1.5, 8.0]
        assert engine.forget("u1")
        assert len(read_timeline(engine._database, "scores", "tier").row) == 0


def test_a_user_whom_only_a_table_knows_is_forgotten_too(shelf, tmp_path):
    shelf.run("CREATE TABLE scores (user_id TEXT, score REAL)", "INSERT INTO scores VALUES ('stranger', 2)")
    with opened(tmp_path, {"into": "table", "uri": shelf.uri, "table": "scores"}) as engine:
        engine.pull("shelf")
        assert engine.forget("stranger")
        assert not engine.forget("stranger")
        assert engine._database.read().rows("SELECT * FROM external_values") == []


@pytest.mark.parametrize(
    ("wrong", "met"),
    [({"table": "nope"}, "nope"), ({"query": "SELECT sku FROM products WHERE"}, "syntax"), ({"table": "products", "watermark": "nope"}, "nope")],
)
def test_a_pull_that_fails_changes_nothing_and_is_said(shelf, tmp_path, wrong, met):
    shelf.run(PRODUCTS, "INSERT INTO products VALUES ('a', 1, 'x', 1)")
    good = {"name": "good", "uri": shelf.uri, "table": "products", "columns": {"item": "sku"}, "watermark": "changed"}
    with opened(tmp_path, good, {"uri": shelf.uri, "columns": {"item": "sku"}, **wrong}) as engine:
        engine.pull("good")
        for _ in range(2):
            with pytest.raises(SourceUnreadable, match=f"source shelf: cannot be read: .*{met}"):
                engine.pull("shelf")
        assert engine.item("a").attributes["price"] == 1.0
        fresh, failed = engine.sources()
        assert (fresh.rows, fresh.failures, fresh.trouble) == (1, 0, "")
        assert (failed.at, failed.failures) == (None, 2)
        assert failed.trouble == "it was never pulled; the last pull failed (2 times)"
        assert met in failed.error


def test_a_good_pull_after_failures_clears_them_and_goes_on_from_the_mark(shelf, tmp_path):
    shelf.run(PRODUCTS, "INSERT INTO products VALUES ('a', 1, 'x', 1)")
    with opened(tmp_path, {"uri": shelf.uri, "table": "products", "columns": {"item": "sku"}, "watermark": "changed"}) as engine:
        engine.pull("shelf")
        shelf.run("ALTER TABLE products RENAME TO gone")
        with pytest.raises(SourceUnreadable):
            engine.pull("shelf")
        assert engine.sources()[0].failures == 1
        shelf.run("ALTER TABLE gone RENAME TO products", "INSERT INTO products VALUES ('b', 1, 'x', 2)")
        assert counts(engine.pull("shelf")) == [(2, 1, 1)]
        assert engine.sources()[0].trouble == ""


def test_strict_refuses_a_bad_row_and_the_mark_stays(shelf, tmp_path):
    shelf.run(PRODUCTS, "INSERT INTO products VALUES ('a', 1, 'x', 1), (NULL, 2, 'x', 2)")
    with opened(tmp_path, {"uri": shelf.uri, "table": "products", "columns": {"item": "sku"}, "watermark": "changed"}) as engine:
        with pytest.raises(RowsRefused):
            engine.pull("shelf", strict=True)
        assert engine.items()[0] == []
        report = engine.pull("shelf")
        assert report.sources[0].quarantined == {"id is missing or not an id": 1}
        assert counts(report) == [(2, 1, 0)]


def test_a_wrong_password_and_a_wrong_address_are_said_without_the_password(pg, tmp_path, caplog):
    where = pg.uri.rpartition("@")[2]
    sources = [
        {"uri": f"postgresql://recengine:${{PASSWORD}}@{where}", "table": "t"},
        {"name": "far", "uri": "postgresql://recengine:hunter-two@127.0.0.1:1/x", "table": "t"},
        {"name": "raw", "uri": f"postgresql://recengine:hunter@two@{where}", "table": "t"},
    ]
    with caplog.at_level(logging.DEBUG), opened(tmp_path, *sources, environment={"PASSWORD": "hunter/two"}) as engine:
        said = []
        for name in ("shelf", "far", "raw"):
            with pytest.raises(SourceUnreadable) as met:
                engine.pull(name)
            said.append(f"{met.value} {met.value.__cause__}")
        said += [str(engine.sources()), str(engine._database.read().rows("SELECT * FROM pulls"))]
    assert "authentication failed" in said[0]
    assert "refused" in said[1]
    assert "%40" in said[2]
    assert "hunter" not in "".join(said) + caplog.text
    assert "two" not in "".join(said) + caplog.text


def test_a_name_that_the_environment_lacks_is_said(tmp_path):
    with opened(tmp_path, {"uri": "${SHELF}", "table": "t"}) as engine, pytest.raises(ConfigInvalid, match=r"\$\{SHELF\} is not"):
        engine.pull("shelf")


def test_a_whole_uri_may_come_from_the_environment(tmp_path):
    lite = Lite(tmp_path)
    lite.run("CREATE TABLE t (id TEXT)", "INSERT INTO t VALUES ('a')")
    with opened(tmp_path, {"uri": "${SHELF}", "table": "t"}, environment={"SHELF": lite.uri}) as engine:
        assert counts(engine.pull("shelf")) == [(1, 1, 0)]


SLOW = "SELECT g::text AS id, repeat('x', 60) AS word, pg_sleep(0.0002) IS NULL AS slept FROM generate_series(1, 100000) AS g"


@pytest.mark.parametrize("end", ["server", "us"])
def test_a_pull_that_ends_in_the_middle_stores_nothing(pg, tmp_path, end):
    pg.run("CREATE TABLE t (id text)", "INSERT INTO t VALUES ('before')")
    with opened(tmp_path, {"name": "good", "uri": pg.uri, "table": "t"}, {"uri": pg.uri, "query": f"{SLOW} WHERE '{pg.schema}' <> ''"}) as engine:
        engine.pull("good")
        met = []

        def pull():
            try:
                engine.pull("shelf")
            except SourceUnreadable as err:
                met.append(err)

        thread = threading.Thread(target=pull)
        thread.start()
        running = f"FROM pg_stat_activity WHERE application_name = 'recengine' AND query LIKE 'COPY%{pg.schema}%'"
        limit = time.monotonic() + 20
        while not pg.run(f"SELECT pid {running}") and time.monotonic() < limit:
            time.sleep(0.02)
        time.sleep(0.2)
        if end == "server":
            pg.run(f"SELECT pg_terminate_backend(pid) {running}")
        else:
            engine.stop_pulling()
        thread.join(timeout=30)
        assert not thread.is_alive()
        assert ("it was ended" if end == "us" else "source shelf: cannot be read") in str(met[0])
        assert [item.item_id for item in engine.items()[0]] == ["before"]
        assert engine.sources()[1].failures == 1


def test_files_are_sources_too_and_paths_start_from_the_directory(tmp_path):
    with opened(tmp_path, {"uri": "data/*.csv"}, {"name": "weather", "into": "table", "uri": "weather.jsonl"}) as engine:
        (tmp_path / "shop" / "data").mkdir()
        (tmp_path / "shop" / "data" / "a.csv").write_text("item_id,price\n007,1.5\n")
        (tmp_path / "shop" / "weather.jsonl").write_text('{"time": "2025-01-01", "sky": "sun"}\n{"time": "never", "sky": "sun"}\n')
        assert counts(engine.pull("shelf")) == [(1, 1, 0)]
        assert engine.item("007").attributes == {"price": 1.5}
        report = engine.pull("weather")
        assert report.sources[0].quarantined == {"time is no moment between 1970 and 2200": 1}
        with pytest.raises(BadUsage, match="no source 'other'"):
            engine.pull("other")


def test_parquet_over_the_network_says_what_it_needs(tmp_path):
    with opened(tmp_path, {"uri": "s3://bucket/items.parquet"}, {"name": "odd", "uri": "mysql://x/y"}) as engine:
        with pytest.raises(SourceUnreadable, match="extension httpfs, which is not installed.*INSTALL httpfs|cannot be read"):
            engine.pull("shelf")
        with pytest.raises(SourceUnreadable, match="its uri is none that can be read"):
            engine.pull("odd")


def test_the_command_pulls_what_it_can_and_doctor_says_the_rest(tmp_path, capsys, monkeypatch):
    lite = Lite(tmp_path)
    lite.run("CREATE TABLE t (id TEXT)", "INSERT INTO t VALUES ('a')")
    shop = tmp_path / "shop"
    Engine.open(shop, create=True).close()
    (shop / "recengine.toml").write_text(
        '[[source]]\nname = "good"\ninto = "items"\nuri = "sqlite:///${FOLDER}/shelf.db"\ntable = "t"\nmax_age = "1h"\n'
        f'[[source]]\nname = "bad"\ninto = "items"\nuri = "{lite.uri}"\ntable = "nope"\nmax_age = "1h"\n'
    )
    monkeypatch.setenv("FOLDER", str(tmp_path))
    with pytest.raises(SystemExit) as left:
        main(["ingest", str(shop), "--source", "bad", "good", "--json"])
    assert left.value.code == 1
    said = json.loads(capsys.readouterr().out)
    assert said["bad"]["error"] == "source-unreadable"
    assert said["good"]["sources"][0]["stored"] == 1
    with pytest.raises(SystemExit):
        main(["doctor", str(shop), "--json"])
    checks = {check["check"]: check for check in json.loads(capsys.readouterr().out)}
    assert checks["source good"]["ok"]
    assert not checks["source bad"]["ok"]
    assert "no such table" in checks["source bad"]["detail"]
    assert main(["ingest", str(shop), "--source", "good", "--items", "x.csv"]) == 2
