"""`recengine index report`, as typed."""

import json


def test_the_report_is_a_table_a_document_and_a_drawing(run, shop, tmp_path):
    code, out, err = run("index", "report", shop, "--queries", 20, "--kinds", "exact", "int8", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert [(p["kind"], p["live"]) for p in told["points"]] == [("exact", True), ("int8", False)]
    assert told["live"] == "scan"
    assert told["points"][0]["recall"] == 1.0
    for name in ("a.html", "a.svg"):
        code, out, err = run("index", "report", shop, "--queries", 20, "--out", tmp_path / name)
        assert code == 0, err
        assert "is the fastest of recall 0.95" in out
        assert "hnsw" in out
        assert (tmp_path / name).read_text(encoding="utf-8").count('class="dot"') >= 4


def test_what_cannot_be_reported_is_said(run, shop, tmp_path):
    code, _, err = run("index", "report", shop, "--out", tmp_path / "a.png")
    assert code == 2
    assert ".html or .svg" in err
    bare = tmp_path / "bare"
    run("init", bare)
    code, out, _ = run("index", "report", bare, "--json")
    assert code == 1
    assert json.loads(out)["error"] == "not-trained"
