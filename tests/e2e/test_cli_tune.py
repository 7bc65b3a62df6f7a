"""`recengine tune` and `recengine train --incremental`, as somebody types them."""

import json

import msgspec
import pytest

from recengine import Engine
from recengine.cli import main
from recengine.cli.commands import trained
from recengine.config import load


@pytest.fixture
def shop(tmp_path, capsys):
    folder = tmp_path / "shop"
    rows = [f"u{u},i{(u * 7 + 3 * i) % 40},{1_760_000_000 + 100 * i + u}" for u in range(60) for i in range(9)]
    later = [f"u{u},i{(u * 7 + 27) % 40},{1_760_001_500 + u}" for u in range(30)]
    for name, lines in (("events.csv", rows), ("later.csv", later)):
        (tmp_path / name).write_text("\n".join(["user_id,item_id,timestamp", *lines]))
    assert main(["init", str(folder)]) == 0
    settings = '[[model]]\nkind = "item_knn"\nneighbors = 1\n[[model]]\nkind = "popularity"\n[features]\nenabled = false\n'
    (folder / "recengine.toml").write_text(settings + "[training]\nat = 5\n")
    assert main(["ingest", str(folder), "--events", str(tmp_path / "events.csv")]) == 0
    capsys.readouterr()
    return folder


def test_settings_are_searched_and_written_as_a_configuration_that_loads(shop, tmp_path, capsys):
    file, out = tmp_path / "t.jsonl", tmp_path / "tuned.toml"
    asked = ["tune", str(shop), "--model", "item_knn", "--trials", "4", "--file", str(file), "--out", str(out), "--json"]
    assert main(asked) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["trials"] == 4
    tuned = load(out)
    assert {name: getattr(tuned.model[0], name) for name in report["best"]} == report["best"]
    assert tuned.training == load(shop / "recengine.toml").training
    assert main(asked) == 2
    assert json.loads(capsys.readouterr().out)["error"] == "bad-usage"
    assert main([*asked, "--resume"]) == 0
    assert json.loads(capsys.readouterr().out)["resumed"] == report["fits"]
    assert main(["tune", str(shop), "--trials", "1", "--file", str(tmp_path / "u")]) == 0
    assert "nothing beats what is configured" in capsys.readouterr().out


def test_a_directory_and_files_do_not_go_together(shop, tmp_path, capsys):
    assert main(["tune"]) == 2
    assert main(["tune", str(shop), "--train", str(tmp_path / "events.csv")]) == 2
    assert "--train" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_said_before_the_work(shop, tmp_path, capsys):
    file = tmp_path / "t.jsonl"
    for out, says in ((tmp_path / "nowhere" / "tuned.toml", "no such folder"), (tmp_path, "is a folder")):
        assert main(["tune", str(shop), "--model", "item_knn", "--trials", "2", "--file", str(file), "--out", str(out)]) == 2
        assert says in capsys.readouterr().err
        assert not file.exists()
        assert main(["train", str(shop), "--force", "--calibration", str(out)]) == 2
        assert says in capsys.readouterr().err
        assert main(["models", "list", str(shop), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == []


def test_an_increment_without_news_says_that_a_changed_index_waits(shop, capsys):
    toml = shop / "recengine.toml"
    toml.write_text('[[model]]\nkind = "als"\nfactors = 4\nepochs = 2\n' + toml.read_text())
    assert main(["train", str(shop), "--force"]) == 0
    assert main(["train", str(shop), "--incremental"]) == 0
    assert "[index]" not in capsys.readouterr().err
    toml.write_text(toml.read_text() + '[index]\nkind = "int8"\n')
    assert main(["train", str(shop), "--incremental"]) == 0
    told = capsys.readouterr()
    assert "nothing is new" in told.out
    assert "`[index]` is not as the live deployment has it" in told.err
    assert main(["train", str(shop), "--incremental", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["notes"]) == 1
    assert main(["train", str(shop), "--force"]) == 0
    assert main(["train", str(shop), "--incremental"]) == 0
    assert "[index]" not in capsys.readouterr().err


def test_an_evaluation_of_the_engine_is_told_in_lines(tmp_path, shop, capsys):
    files = ["--train", str(tmp_path / "events.csv"), "--test", str(tmp_path / "later.csv")]
    names = ["--columns", "user=user_id", "item=item_id", "order=timestamp"]
    small = ["--set", "als.factors=4", "als.epochs=2", "--threads", "1"]
    assert main(["evaluate", *files, *names, *small, "--algorithm", "default"]) == 0
    told = capsys.readouterr().out
    assert "set: als.factors=4, als.epochs=2" in told
    assert "chosen weights: als " in told
    assert "candidates a user hold" in told
    assert "{" not in told


def test_a_confidence_that_is_worse_than_a_coin_is_told(shop, capsys):
    with Engine.open(shop) as engine:
        report = engine.train(force=True, threads=1)
    trained(report)
    assert "worse than saying 0.5" not in capsys.readouterr().err
    first, *others = report.validation.reliability
    wrong = msgspec.structs.replace(first, brier=0.31, useful=False)
    validation = msgspec.structs.replace(report.validation, reliability=(wrong, *others))
    trained(msgspec.structs.replace(report, validation=validation))
    told = capsys.readouterr().err
    assert "confidence of candidate: worse than saying 0.5 of everything (Brier 0.310 > 0.25)" in told


def test_an_increment_is_typed_and_says_when_nothing_is_new(shop, tmp_path, capsys):
    assert main(["train", str(shop), "--incremental"]) == 1
    assert "not-trained" in capsys.readouterr().err
    assert main(["train", str(shop), "--force"]) == 0
    capsys.readouterr()
    assert main(["train", str(shop), "--incremental"]) == 0
    assert "nothing is new" in capsys.readouterr().out
    assert main(["ingest", str(shop), "--events", str(tmp_path / "later.csv")]) == 0
    assert main(["train", str(shop), "--incremental"]) == 0
    told = capsys.readouterr().out
    assert "30 new events" in told
    assert "increment 1 on" in told
    assert main(["train", str(shop), "--incremental", "--force"]) == 2
