"""`recengine features`, as typed, on a small demo shop."""

import json
import shutil
from datetime import UTC, datetime

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recengine import Engine
from recengine.demo import generate

OWN = """
[[feature]]
name = "item_bargain"
entity = "item"
dtype = "number"
sql = "SELECT item_id AS entity, TIMESTAMP '2026-03-02' AS time, 1.5 AS value FROM items"
note = "the same of all"

[[feature]]
name = "dear"
entity = "derived"
op = "difference"
of = ["item_price", "user_price"]
"""


@pytest.fixture(scope="module")
def fed(tmp_path_factory):
    files = generate(tmp_path_factory.mktemp("files"), seed=4, users=150, items=120, events=6_000, images=False)
    path = tmp_path_factory.mktemp("fed") / "shop"
    with Engine.open(path, create=True) as engine:
        engine.ingest(events=files.events, columns=files.columns)
        engine.ingest(items=files.items, users=files.users)
    return path, files


@pytest.fixture
def demo(fed, tmp_path):
    return shutil.copytree(fed[0], tmp_path / "demo")


def listed(run, shop):
    code, out, err = run("features", "list", shop, "--json")
    assert code == 0, err
    return {one["name"]: one for one in json.loads(out)}


def built(run, shop, target, *words):
    code, out, err = run("features", "build", shop, "--out", target, "--json", *words)
    assert code == 0, err
    return json.loads(out), pq.read_table(target)


def test_every_feature_is_listed_with_what_it_rests_on(run, demo):
    found = listed(run, demo)
    assert found["item_price"]["how"] == "item.price"
    assert found["price_ratio"]["how"] == "ratio of item_price, user_price"
    assert (found["item_engaged_7d"]["how"], found["item_engaged_7d"]["window"]) == ("events", "7d")
    assert found["pair_covisits"]["entity"] == "interaction"
    assert found["context_hour"]["how"] == "the request"
    assert found["item_category"]["dtype"] == "category"
    assert all(len(one["version"]) == 12 and one["note"] for one in found.values())
    assert {one["live"] for one in found.values()} == {""}
    code, out, _ = run("features", "list", demo)
    assert code == 0
    assert all(name in out for name in found)


def test_one_feature_is_shown_with_the_line_that_defines_it(run, demo):
    before = listed(run, demo)
    (demo / "recengine.toml").write_text(OWN)
    code, out, _ = run("features", "show", demo, "item_bargain", "--json")
    assert code == 0
    shown = json.loads(out)
    assert (shown["where"], shown["how"], shown["note"]) == ("recengine.toml:2", "a query, every 24 h", "the same of all")
    after = listed(run, demo)
    assert set(after) - set(before) == {"item_bargain", "dear"}
    assert {n: one["version"] for n, one in before.items()} == {n: after[n]["version"] for n in before}
    code, out, _ = run("features", "show", demo, "dear")
    assert code == 0
    assert "difference of item_price, user_price" in out
    assert "recengine.toml:9" in out


def test_a_changed_definition_has_another_version(run, demo):
    before = listed(run, demo)
    (demo / "recengine.toml").write_text('[features]\nwindows = ["2d", "7d", "30d"]\nanchors = 9\n')
    after = listed(run, demo)
    assert "item_engaged_1d" not in after
    assert after["item_engaged_2d"]["version"] not in {one["version"] for one in before.values()}
    assert after["pair_covisits"]["version"] != before["pair_covisits"]["version"]
    assert after["item_engaged_7d"]["version"] == before["item_engaged_7d"]["version"]


def test_the_table_holds_what_users_took_up_and_what_they_could_have(run, demo, tmp_path, fed):
    (demo / "recengine.toml").write_text(OWN)
    report, table = built(run, demo, tmp_path / "t.parquet", "--rows", 2000)
    assert report["rows"] == table.num_rows <= 2000
    assert report["taken"] * 5 == table.num_rows
    assert set(listed(run, demo)) == set(table.column_names[5:])
    events = pq.read_table(fed[1].events).to_pydict()
    happened = set(zip(events["user_id"], events["item_id"], (t.replace(tzinfo=None) for t in events["timestamp"]), strict=True))
    rows = table.select(["user_id", "item_id", "time", "taken"]).to_pylist()
    assert all((r["user_id"], r["item_id"], r["time"].replace(tzinfo=None)) in happened for r in rows if r["taken"])
    prices = dict(zip(*pq.read_table(fed[1].items, columns=["item_id", "price"]).to_pydict().values(), strict=True))
    np.testing.assert_array_equal(table["item_price"].to_numpy(), np.float32([prices[r["item_id"]] for r in rows]))
    assert pc.all(pc.equal(table["item_bargain"], 1.5)).as_py()
    assert [t.hour for t in table["time"].to_pylist()] == table["context_hour"].to_pylist()
    versions = json.loads(table.schema.metadata[b"recengine.features"])
    assert versions == {name: one["version"] for name, one in listed(run, demo).items()}
    assert set(table["item_category"].to_pylist()) <= set(pq.read_table(fed[1].items)["category"].to_pylist())


def test_a_table_as_of_a_moment_is_not_changed_by_what_came_later(run, demo, tmp_path):
    _, whole = built(run, demo, tmp_path / "whole.parquet", "--rows", 20_000)
    cut = "2026-07-01T00:00:00Z"
    _, then = built(run, demo, tmp_path / "then.parquet", "--as-of", cut, "--rows", 5_000)
    assert 0 < then.num_rows <= 5_000
    assert max(then["time"].to_pylist()).isoformat() <= cut.replace("Z", "+00:00")

    def taken(table):
        rows = table.filter(table["taken"]).drop_columns(["group", "taken"]).to_pylist()
        return {(r["user_id"], r["item_id"], r["time"]): r for r in rows}

    now = taken(whole)
    for key, row in taken(then).items():
        assert now[key] == row


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("show", "{shop}", "item_prize"), 2, "item_prize"),
        (("build", "{shop}", "--out", "{tmp}/x.csv"), 1, ".parquet"),
        (("build", "{shop}", "--out", "{tmp}/none/x.parquet"), 2, "no such folder"),
        (("build", "{shop}", "--out", "{tmp}/x.parquet", "--rows", "0"), 2, "--rows"),
        (("build", "{shop}", "--out", "{tmp}/x.parquet", "--as-of", "yesterday"), 1, "as_of"),
        (("build", "{shop}", "--out", "{tmp}/x.parquet", "--as-of", "1999-01-01"), 1, "no event"),
        (("list", "{tmp}/nowhere"), 2, "does not exist"),
    ],
)
def test_mistakes_are_named(run, demo, tmp_path, words, code, says):
    got, out, err = run("features", *(word.format(tmp=tmp_path, shop=demo) for word in words))
    assert (got, says in err) == (code, True), err
    assert out == ""
    assert not list(tmp_path.glob("*.parquet"))
    assert not list(tmp_path.glob(".x*"))


def test_a_definition_that_cannot_be_used_is_named_with_file_and_line(run, demo):
    (demo / "recengine.toml").write_text('\n\n[[feature]]\nname = "x"\nentity = "item"\nattribute = "colour of the sky"\n')
    code, _, err = run("features", "list", demo)
    assert code == 2
    assert "recengine.toml:3" in err


def test_the_list_says_what_the_live_deployment_does_with_each(run, shop):
    with Engine.open(shop) as engine:
        live = engine.deployed_features()
    assert live is not None
    found = listed(run, shop)
    assert [name for name, one in found.items() if one["live"] == "kept"] == list(live.kept)
    assert {name for name, one in found.items() if one["live"] in ("kept", "base")} == set(live.features.names)
    gone = {name: one["dropped"] for name, one in found.items() if one["live"] == "dropped"}
    assert gone == {name: why for name, why in live.selection.dropped.items() if name not in live.features.names}
    assert "context_device" in gone
    (shop / "recengine.toml").write_text((shop / "recengine.toml").read_text() + OWN)
    again = listed(run, shop)
    assert (again["item_bargain"]["live"], again["dear"]["live"]) == ("new", "new")
    assert {name: again[name]["live"] for name in found} == {name: one["live"] for name, one in found.items()}


def test_a_deployment_whose_features_changed_is_said_and_does_not_hide_the_list(run, shop):
    (shop / "recengine.toml").write_text((shop / "recengine.toml").read_text() + '[features]\nwindows = ["2d", "9d", "30d"]\n')
    code, out, err = run("features", "list", shop, "--json")
    assert code == 0
    assert "is not used" in err
    assert {one["live"] for one in json.loads(out)} == {""}


def test_what_a_feature_says_is_shown_for_items_now_and_then(run, shop):
    with Engine.open(shop) as engine:
        told = engine.features("u2", ["i3", "i4"])
        then = engine.features("u2", ["i3", "i4"], at=datetime(2025, 8, 1, tzinfo=UTC))
    differs = [name for name in told if told[name] != then[name]]
    assert differs
    for name in differs[:2]:
        for words, wanted in (((), told), (("--at", "2025-08-01T00:00:00+00:00"), then)):
            code, out, err = run("features", "show", shop, name, "--user", "u2", "--item", "i3", "i4", *words, "--json")
            assert code == 0, err
            if "idle" not in name and "tenure" not in name and "freshness" not in name:  # these grow as we look
                assert json.loads(out)["values"] == dict(zip(("i3", "i4"), wanted[name], strict=True))
    code, out, _ = run("features", "show", shop, differs[0], "--item", "i3")
    assert code == 0
    assert "i3" in out


def test_values_that_cannot_be_told_are_refused(run, shop, demo):
    code, _, err = run("features", "show", shop, "item_price", "--user", "u2")
    assert (code, "--item" in err) == (2, True)
    code, _, err = run("features", "show", shop, "item_price", "--item", "nothing")
    assert (code, "nothing" in err) == (1, True)
    code, _, err = run("features", "show", demo, "item_price", "--item", "item")
    assert code == 1


def test_a_dropped_feature_is_shown_with_its_reason_where_its_values_are_asked(run, shop):
    dropped = {name: one["dropped"] for name, one in listed(run, shop).items() if one["live"] == "dropped"}
    name = min(dropped)
    for words in ((), ("--item", "i3")):
        code, out, err = run("features", "show", shop, name, *words, "--json")
        assert (code, "has no values" in err) == (0, bool(words))
        shown = json.loads(out)
        assert (shown["name"], shown["dropped"], "values" in shown) == (name, dropped[name], False)
        assert dropped[name]


def test_timelines_are_evaluated_again_and_kept(run, demo):
    code, out, _ = run("features", "materialize", demo)
    assert (code, out.strip()) == (0, "no feature is a query or a column of a source")
    (demo / "recengine.toml").write_text(OWN)
    code, out, err = run("features", "materialize", demo, "--json")
    assert code == 0, err
    (one,) = json.loads(out)
    assert (one["name"], one["entries"], one["entities"]) == ("item_bargain", 120, 120)
    code, out, _ = run("features", "materialize", demo)
    assert "item_bargain" in out
    (demo / "recengine.toml").write_text(OWN.replace("1.5", "no_such_column"))
    code, out, err = run("features", "materialize", demo)
    assert code == 2
    assert "recengine.toml:2" in err
