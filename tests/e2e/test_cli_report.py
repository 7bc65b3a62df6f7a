"""`recengine features report`, as typed."""

import json
import re


def test_the_report_is_one_page_and_the_same_facts_for_machines(run, shop, tmp_path):
    page = tmp_path / "report.html"
    code, out, err = run("features", "report", shop, "--out", page, "--rows", 2000, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["file"] == str(page)
    assert 1000 < told["rows"] <= 2000
    text = page.read_text(encoding="utf-8")
    names = [feature["name"] for feature in told["features"]]
    assert {"item_engaged_7d", "item_category", "user_events", "pair_events", "category_match"} <= set(names)
    assert re.findall(r"id='f-(\w+)'", text) == names
    by_name = {feature["name"]: feature for feature in told["features"]}
    assert by_name["item_price"]["summary"]["min"] > 0
    assert by_name["item_rating"]["missing"] == 1.0  # nobody rates in this shop
    code, out, err = run("features", "report", shop, "--out", page, "--rows", 2000)
    assert code == 0, err
    assert f"{page}: {len(names)} features" in out
    assert not list(tmp_path.glob(".report*"))


def test_a_trained_shop_shows_the_selection_it_was_trained_with(run, shop, tmp_path):
    code, out, err = run("features", "report", shop, "--out", tmp_path / "a.html", "--json")
    assert code == 0, err
    told = json.loads(out)
    live = json.loads(next((shop / "artifacts").glob("*/features/features.json")).read_text())
    assert told["source"].startswith("Selection and importance are those of deployment")
    assert [f["name"] for f in told["features"] if f["kept"]] == live["selection"]["kept"]
    assert {f["name"]: f["dropped"] for f in told["features"] if f["kept"] is False} == live["selection"]["dropped"]
    assert told["auc"] == live["selection"]["auc"]


def test_before_anything_is_trained_the_report_selects_by_itself(run, tmp_path, files):
    shop = tmp_path / "shop"
    run("init", shop)
    code, out, err = run("features", "report", shop, "--out", tmp_path / "a.html", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["source"] == "Nothing is trained yet"
    assert {feature["kept"] for feature in told["features"]} == {None}
    run("ingest", shop, "--events", files / "events.parquet", "--items", files / "items.parquet")
    code, out, err = run("features", "report", shop, "--out", tmp_path / "a.html", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["source"].startswith("Nothing is trained yet; the selection shown")
    kept = {feature["name"]: feature["kept"] for feature in told["features"]}
    assert kept["item_rating"] is False  # nobody rates in this shop
    assert sum(kept.values()) > 5
    assert "missing in all" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_a_deployment_that_cannot_be_read_is_named_on_the_page(run, shop, tmp_path):
    live = next((shop / "artifacts").glob("*/manifest.json"))
    live.write_text("{}")
    code, out, _ = run("features", "report", shop, "--out", tmp_path / "a.html", "--rows", 1000)
    assert code == 0
    assert f"The selection of deployment {live.parent.name} cannot be read" in out


def test_a_folder_that_is_not_there_is_refused(run, shop, tmp_path):
    code, _, err = run("features", "report", shop, "--out", tmp_path / "none" / "a.html", "--rows", 1000)
    assert code == 2
    assert "error[directory-invalid]" in err
