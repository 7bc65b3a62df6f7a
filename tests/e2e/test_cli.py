"""The command line, as typed: every command, its JSON, its exit code."""

import json

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recengine.cli import main


def test_the_way_of_a_new_user(run, tmp_path, files):
    shop = tmp_path / "shop"
    assert run("init", shop)[0] == 0
    code, out, err = run("ingest", shop, "--events", files / "events.parquet", "--items", files / "items.parquet", "--users", files / "users.parquet")
    assert code == 0, err
    assert "4000" in out
    (shop / "recengine.toml").write_text('[[model]]\nkind = "als"\nfactors = 4\nepochs = 2\n[[model]]\nkind = "popularity"\n')
    code, out, err = run("train", shop)
    assert code == 0, err
    assert "recall@20" in out
    assert "deployed" in out
    code, out, err = run("recommend", shop, "u2", "-n", 3)
    assert code == 0
    assert "Thing number" in out


@pytest.mark.parametrize(
    "words",
    [
        ("recommend", "u2"),
        ("recommend", "u2", "u3", "--explain"),
        ("recommend",),
        ("recommend", "u2", "--exclude-seen", "purchase"),
        ("recommend", "u2", "--include-seen"),
        ("recommend", "u2", "--filter", "price < 20", "--caps", "brand=1", "--pins", "i3", "--deny", "i4", "--diversity", "0.5"),
        ("similar", "i3"),
        ("similar", "u2", "--user"),
        ("explain", "u2", "i3"),
        ("doctor",),
    ],
)
def test_json_is_one_document_and_people_get_text(run, shop, words):
    verb, *rest = words
    code, out, err = run(verb, shop, *rest, "--json")
    assert code == 0, err
    json.loads(out)
    assert out.count("\n") == 1
    code, out, _ = run(verb, shop, *rest)
    assert code == 0
    assert out.strip()


def test_models_list_show_promote_and_rollback(run, shop):
    code, out, _ = run("models", "list", shop, "--json")
    (only,) = json.loads(out)
    assert only["live"]
    assert run("train", shop, "--json")[0] == 0
    live = [row["version"] for row in json.loads(run("models", "list", shop, "--json")[1]) if row["live"]]
    assert live != [only["version"]]
    assert json.loads(run("models", "rollback", shop, "--json")[1]) == {"live": only["version"]}
    assert json.loads(run("models", "promote", shop, live[0], "--json")[1]) == {"live": live[0]}
    assert json.loads(run("models", "show", shop, live[0], "--json")[1])["version"] == live[0]
    assert json.loads(run("models", "show", shop, "--json")[1])["version"] == live[0], "the live one is the default"
    code, _, err = run("models", "promote", shop, "20200101-000000-none")
    assert code == 2
    assert "20200101-000000-none" in err


def test_export_backup_and_restore(run, shop, tmp_path):
    assert json.loads(run("export", shop, "--out", tmp_path / "r.csv", "-n", 2, "--json")[1])["rows"] == 250
    (tmp_path / "who.txt").write_text("u1\nu2\n")
    assert json.loads(run("export", shop, "--out", tmp_path / "r.jsonl", "--users", tmp_path / "who.txt", "--json")[1])["rows"] == 20
    assert run("backup", shop, tmp_path / "copy")[0] == 0
    assert run("restore", tmp_path / "copy", tmp_path / "again")[0] == 0
    left, right = (json.loads(run("recommend", path, "u7", "--json")[1])["items"] for path in (shop, tmp_path / "again"))
    assert left == right


def test_config_prints_a_tree_that_reads_back(run, shop):
    assert json.loads(run("config", shop, "--json")[1])["model"][0]["factors"] == 8
    code, out, _ = run("config")
    assert code == 0
    (shop / "recengine.toml").write_text(out)
    assert run("config", shop)[1] == out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("recommend", "{tmp}/nowhere", "u1"), 2, "does not exist"),
        (("ingest", "{shop}"), 2, "--events"),
        (("ingest", "{shop}", "--events", "{tmp}/none.csv"), 1, "none.csv"),
        (("ingest", "{shop}", "--events", "{tmp}/none.csv", "--columns", "user"), 2, "KEY=VALUE"),
        (("recommend", "{shop}", "u1", "--filter", "prize < 3"), 1, "prize"),
        (("recommend", "{shop}", "u1", "-n", "0"), 1, "n: expected"),
        (("recommend", "{shop}", "u1", "--caps", "brand=x"), 2, "brand"),
        (("similar", "{shop}", "nothing"), 1, "nothing"),
        (("explain", "{shop}", "u1", "nothing"), 1, "nothing"),
        (("config", "{tmp}/nowhere"), 2, "does not exist"),
        (("export", "{shop}", "--out", "{tmp}/nowhere/x.csv"), 2, "nowhere"),
        (("export", "{shop}", "--out", "{tmp}/x.doc"), 1, "x.doc"),
        (("export", "{shop}", "--out", "{tmp}/x.csv", "--users", "{tmp}/none.txt"), 1, "none.txt"),
        (("models", "promote", "{shop}"), 2, "version"),
        (("evaluate", "--train", "x"), 2, "--test"),
        (("evaluate", "--train", "{tmp}/x.csv", "--test", "{tmp}/y.csv", "--algorithm", "magic"), 2, "magic"),
    ],
)
def test_mistakes_are_named_with_an_exit_code(run, shop, tmp_path, words, code, says):
    words = [word.format(tmp=tmp_path, shop=shop) for word in words]
    got, out, err = run(*words)
    assert (got, says in err) == (code, True), err
    assert "error[" in err
    got, out, _ = run(*words, "--json")
    assert got == code
    answer = json.loads(out)
    assert set(answer) == {"error", "message", "hint"}


def test_the_old_candidates_section_ends_with_what_to_write_instead(run, tmp_path):
    shop = tmp_path / "old"
    assert run("init", shop)[0] == 0
    (shop / "recengine.toml").write_text("[candidates]\nlimit = 400\nper_model = 80\n")
    for words in (("config", shop), ("recommend", shop, "u1")):
        code, _, err = run(*words)
        assert code == 2, err
        assert "[[candidates]]" in err
        assert '{kind = "models", per_model = 80}' in err
        assert "`pool = 400` under `[serving]`" in err


def test_usage_errors_exit_2(run):
    with pytest.raises(SystemExit) as stop:
        run("fly")
    assert stop.value.code == 2


def test_doctor_says_in_a_line_what_the_engine_holds_and_names_what_is_left_over(run, shop):
    code, out, _ = run("doctor", shop, "--json")
    told = {check["check"]: check["detail"] for check in json.loads(out)}
    assert code == 0
    assert told["leftovers"] == "none"
    assert len(told["engine"]) < 100
    assert "users" in told["engine"]
    left = shop / "artifacts" / ".tmp-20200101-000000-0000-1"
    left.mkdir()
    code, out, _ = run("doctor", shop)
    assert code == 0
    assert left.name in out.replace("\n", "")
    left.rmdir()


def test_doctor_fails_on_a_damaged_deployment(run, shop):
    victim = next((shop / "artifacts").glob("*/models/*/*.npy"))
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-1])
    with pytest.raises(SystemExit) as stop:
        main(["doctor", str(shop)])
    assert stop.value.code == 1


def test_evaluate_holds_out_whole_users_and_sets_popularity_beside(run, files):
    words = ["evaluate", "--log", files / "events.parquet", "--users", files / "users.parquet", "--items", files / "items.parquet"]
    words += ["--protocol", "cold-users", "--share", "0.25", "--at", "5", "--set", "als.factors=4", "als.epochs=2"]
    code, out, err = run(*words, "--json")
    assert code == 0, err
    answer = json.loads(out)
    users = len(pc.unique(pq.read_table(files / "events.parquet")["user_id"]))
    assert 0 < answer["users"] <= round(users * 0.25)
    mine, theirs = answer["metrics"]["ndcg@5"], answer["popularity"]["ndcg@5"]
    mean, low, high = answer["differences"]["ndcg@5"]
    assert low <= mean <= high
    assert abs(mean - (mine - theirs)) < 1e-9
    assert json.loads(run(*words, "--json")[1])["metrics"] == answer["metrics"], "the seed holds the same users out"
    code, out, _ = run(*words)
    assert code == 0
    assert "difference" in out
    assert run("evaluate", "--log", files / "events.parquet", "--users", files / "users.parquet")[0] != 0
    assert run(*words[:-3], "--share", "1.5")[0] != 0


def test_evaluate_judges_a_split_and_a_log(run, tmp_path, files):
    events = pq.read_table(files / "events.parquet")
    late = pc.greater(events["timestamp"], pc.quantile(events["timestamp"], 0.8)[0])
    pq.write_table(events.filter(pc.invert(late)), tmp_path / "train.parquet")
    pq.write_table(events.filter(late), tmp_path / "test.parquet")
    columns = ("--columns", "user=user_id", "item=item_id")
    code, out, err = run(
        "evaluate", "--train", tmp_path / "train.parquet", "--test", tmp_path / "test.parquet", *columns,
        "--algorithm", "als", "--set", "factors=4", "epochs=2", "--at", 10, "--seed", 1, "--json",
    )  # fmt: skip
    assert code == 0, err
    answer = json.loads(out)
    assert answer["algorithm"] == "als"
    assert answer["params"]["factors"] == 4
    assert {"recall@10", "ndcg@10", "hit_rate@10"} <= set(answer["metrics"])
    assert {"users", "fit_seconds", "recommend_seconds", "peak_rss_mb"} <= set(answer)
    code, out, err = run("evaluate", "--log", files / "events.parquet", *columns, "order=timestamp", "--algorithm", "popularity", "--json")
    assert code == 0, err
    assert json.loads(out)["users"] > 100


def test_expectations_refuse_a_batch_or_say_what_came_of_its_rows(run, tmp_path, files):
    shop, items = tmp_path / "shop", pq.read_table(files / "items.parquet")
    prices = pc.if_else(pc.equal(items["item_id"], "i3"), -1.0, items["price"].cast("double"))
    pq.write_table(items.set_column(items.schema.get_field_index("price"), "price", prices), tmp_path / "bad.parquet")
    assert run("init", shop)[0] == 0
    said = '[[expect]]\nsource = "items"\ncolumn = "price"\nmin = 0\n'
    (shop / "recengine.toml").write_text(said)
    code, out, err = run("ingest", shop, "--items", tmp_path / "bad.parquet")
    assert (code, out) == (1, "")
    assert "error[expectation-failed]: items.price: expected at least 0, came '-1.0' in 1 rows" in err
    (shop / "recengine.toml").write_text(said + 'otherwise = "clip"\n')
    code, out, err = run("ingest", shop, "--items", tmp_path / "bad.parquet", "--events", files / "events.parquet")
    assert code == 0
    assert "items: 1 x put right: price is not at least 0: clipped" in err
    assert "items.price: expected at least 0, came '-1.0' in 1 rows" in err
    code, out, err = run("ingest", shop, "--items", tmp_path / "bad.parquet", "--json")
    assert code == 0
    assert json.loads(out)["sources"][0]["expectations"][1]["outcome"] == "clipped"
