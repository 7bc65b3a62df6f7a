"""The scientist's door against metrics counted by hand from the files, and its errors."""

import json
import math

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recengine.config import Als, Config
from recengine.errors import BadColumn, ConfigInvalid, EmptyData, SourceUnreadable
from recengine.jobs.evaluate import evaluate_log, evaluate_split
from recengine.jobs.protocols import leave_one_out, split, validation_part
from recengine.jobs.settings import engine_settings, model_settings
from tests.unit.shop import shop

COLUMNS = {"user": "who", "item": "what"}
TYPES = Config().event


@pytest.fixture(scope="module")
def log():
    events, _, _ = shop(n_users=90, n_items=45, per_user=10)
    return pa.table(
        {"who": [f"u{u}" for u in events.user], "what": [f"i{i}" for i in events.item], "at": events.time}
    )


@pytest.fixture(scope="module")
def files(log, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    last = np.random.default_rng(1).random(log.num_rows) < 0.25
    for name, rows in (("train", ~last), ("test", last)):
        pq.write_table(log.filter(pa.array(rows)).select(["who", "what"]), folder / f"{name}.parquet")
    return folder / "train.parquet", folder / "test.parquet"


def by_hand(train, test, at):
    """Popularity by counts, ties to the lower item in the order of sorted ids; recall and ndcg a user."""
    train, test = ([(r["who"], r["what"]) for r in pq.read_table(f).to_pylist()] for f in (train, test))
    items = sorted({i for _, i in train + test})
    counts = {i: sum(1 for _, j in train if j == i) for i in items}
    order = sorted(items, key=lambda i: -counts[i])
    recalls, ndcgs = [], []
    for user in sorted({u for u, _ in test}):
        seen = {i for u, i in train if u == user}
        wanted = {i for u, i in test if u == user}
        top = [i for i in order if i not in seen][:at]
        gains = [i in wanted for i in top]
        recalls.append(sum(gains) / len(wanted))
        ideal = sum(1 / np.log2(k + 2) for k in range(min(at, len(wanted))))
        ndcgs.append(sum(g / np.log2(k + 2) for k, g in enumerate(gains)) / ideal)
    return {"recall": np.mean(recalls), "ndcg": np.mean(ndcgs), "users": len(recalls)}


def test_split_metrics_are_those_counted_by_hand(files):
    answer = evaluate_split(*files, COLUMNS, "popularity", {"trending_share": "0"}, at=7, threads=1)
    wanted = by_hand(*files, 7)
    assert answer["users"] == wanted["users"]
    assert answer["metrics"]["recall@7"] == pytest.approx(wanted["recall"])
    assert answer["metrics"]["ndcg@7"] == pytest.approx(wanted["ndcg"])
    assert answer["params"]["trending_share"] == 0
    assert answer["fit_seconds"] >= 0
    assert answer["recommend_seconds"] > 0
    assert answer["peak_rss_mb"] > 10
    json.dumps(answer)


def test_an_item_of_train_that_stands_in_test_too_counts_as_held_out_and_cannot_be_hit():
    train = {"who": ["a", "a", "b"], "what": ["x", "y", "z"]}
    answer = evaluate_split(train, {"who": ["a", "a"], "what": ["x", "z"]}, COLUMNS, "popularity", at=5)
    assert answer["metrics"]["recall@5"] == 0.5


def test_users_and_items_that_only_test_knows_are_judged_too():
    train = {"who": ["a", "a", "b"], "what": ["x", "y", "x"]}
    answer = evaluate_split(train, {"who": ["new", "a"], "what": ["x", "unheard"]}, COLUMNS, "popularity", at=1)
    assert answer["users"] == 2
    assert answer["metrics"]["recall@1"] in (0.5, 1.0)


def test_leave_one_out_holds_out_the_last_and_learns_from_the_rest():
    log = {"who": ["a"] * 4 + ["b"] * 2 + ["c"], "what": [1, 2, 3, 4, 2, 3, 4], "at": [4, 3, 2, 1, 1, 2, 1]}
    task = leave_one_out(log, COLUMNS | {"order": "at"}, TYPES)
    part = task.part()
    assert part.targets.users.tolist() == [0, 1]
    assert part.targets.items.tolist() == [0, 2]  # a's last is 1, b's is 3
    assert np.diff(part.data.interactions.indptr).tolist() == [3, 1, 1]
    inner = validation_part(task, last_only=True, share=0.1, seed=0)
    assert inner.targets.users.tolist() == [0], "b and c have nothing left to choose by"
    assert inner.targets.items.tolist() == [1]
    assert np.diff(inner.data.interactions.indptr).tolist() == [2, 1, 1]


def test_without_an_order_column_the_rows_are_in_order():
    part = leave_one_out({"who": [1, 2, 1, 2], "what": [9, 8, 7, 6]}, COLUMNS, TYPES).part()
    assert part.targets.items.tolist() == [1, 0]


def test_numbers_sort_as_numbers_and_moments_as_moments():
    log = {"who": [1, 1, 1], "what": ["a", "b", "c"], "at": [10, 9, 100]}
    assert leave_one_out(log, COLUMNS | {"order": "at"}, TYPES).part().targets.items.tolist() == [2]
    moments = pa.array(["2024-01-03", "2024-01-05", "2024-01-04"]).cast(pa.timestamp("us"))
    table = pa.table({"who": [1, 1, 1], "what": ["a", "b", "c"], "at": moments})
    assert leave_one_out(table, COLUMNS | {"order": "at"}, TYPES).part().targets.items.tolist() == [1]
    fractions = {"who": [1, 1, 1], "what": ["a", "b", "c"], "at": [0.5, 0.25, 0.125]}
    assert leave_one_out(fractions, COLUMNS | {"order": "at"}, TYPES).part().targets.items.tolist() == [0]


def test_the_part_to_choose_by_comes_from_the_training_side_alone(files):
    task = split(*files, COLUMNS, TYPES)
    judged = task.part()
    for seed in (0, 1):
        inner = validation_part(task, last_only=False, share=0.2, seed=seed)
        counts = np.bincount(task.events.user[task.learned], minlength=task.n_users)
        held = np.diff(inner.targets.indptr)
        assert held.tolist() == [max(1, round(0.2 * c)) for c in counts[inner.targets.users]]
        assert len(inner.data.interactions.items) + len(inner.targets.items) == len(judged.data.interactions.items)
    one, again, other = (validation_part(task, last_only=False, share=0.2, seed=s).targets.items for s in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_results_do_not_depend_on_the_order_of_rows_or_on_threads(files):
    train, test = (pq.read_table(f) for f in files)
    shuffled = train.take(np.random.default_rng(3).permutation(train.num_rows))
    one = evaluate_split(train, test, COLUMNS, "item_knn", at=5, threads=1)["metrics"]
    two = evaluate_split(shuffled, test, COLUMNS, "item_knn", at=5, threads=2)["metrics"]
    assert one == two


def test_default_is_at_least_as_good_as_popularity_and_repeats(files):
    settings = {"als.factors": "8", "training.validation_share": 0.2}
    engine = evaluate_split(*files, COLUMNS, "default", settings, at=5, threads=1)
    popular = evaluate_split(*files, COLUMNS, "popularity", at=5, threads=1)
    assert engine["metrics"]["ndcg@5"] >= popular["metrics"]["ndcg@5"]
    assert set(engine["weights"]) == {"als", "graph_filter", "ease", "user_knn", "popularity"}
    assert engine["params"]["training"]["validation_share"] == 0.2
    assert next(m for m in engine["params"]["model"] if m["name"] == "als")["factors"] == 8
    again = evaluate_split(*files, COLUMNS, "default", settings, at=5, threads=2)
    assert again["metrics"] == engine["metrics"]


def test_default_over_a_log_chooses_by_the_item_before_the_last(log):
    answer = evaluate_log(log, COLUMNS | {"order": "at"}, "default", {"als.factors": 8}, at=5, threads=1)
    assert answer["users"] == 90
    assert answer["metrics"]["recall@5"] == answer["metrics"]["hit_rate@5"]


def test_settings_are_parsed_and_unknown_ones_name_the_known():
    assert model_settings("als", {"factors": "128", "regularization": "0.5"}) == Als(factors=128, regularization=0.5)
    with pytest.raises(ConfigInvalid, match="factors"):
        model_settings("als", {"factor": 128})
    with pytest.raises(ConfigInvalid, match="factors"):
        model_settings("als", {"factors": "many"})
    with pytest.raises(ConfigInvalid, match="factors"):
        model_settings("als", {"factors": "0"})
    with pytest.raises(ConfigInvalid, match="known: default, als, bpr, .*, user_knn"):
        model_settings("magic", {})
    assert engine_settings(Config(), {"training.at": "7"}).training.at == 7
    for bad in ({"at": 7}, {"nothing.at": 7}, {"training.nothing": 7}, {"als.factors": 0}, {"als.kind": "x"}):
        with pytest.raises(ConfigInvalid):
            engine_settings(Config(), bad)
    assert engine_settings(Config(), {}) == Config()


def test_bad_input_is_one_clear_error(files, tmp_path):
    train, test = files
    with pytest.raises(SourceUnreadable):
        evaluate_split(tmp_path / "absent.parquet", test, COLUMNS, "popularity")
    with pytest.raises(BadColumn, match="nobody"):
        evaluate_split(train, test, {"user": "nobody", "item": "what"}, "popularity")
    with pytest.raises(BadColumn, match="empty values"):
        evaluate_split(train, {"who": ["a", None], "what": ["i1", "i2"]}, COLUMNS, "popularity")
    with pytest.raises(EmptyData):
        evaluate_split(train, pa.table({"who": pa.array([], "string"), "what": pa.array([], "string")}), COLUMNS, "als")
    with pytest.raises(EmptyData):
        evaluate_log({"who": [1, 2], "what": [1, 2]}, COLUMNS, "popularity")
    with pytest.raises(ConfigInvalid, match="leave-one-out"):
        evaluate_log(train, COLUMNS, "popularity", protocol="random")


def test_a_rating_below_neutral_is_no_target():
    columns = COLUMNS | {"value": "stars"}
    train = {"who": ["a", "a", "b"], "what": ["x", "y", "z"], "stars": [5.0, 4.0, 5.0]}
    test = {"who": ["a", "b", "b"], "what": ["z", "x", "y"], "stars": [5.0, 1.0, 4.0]}
    part = split(train, test, columns, TYPES).part()
    assert part.targets.users.tolist() == [0, 1]
    assert part.targets.items.tolist() == [2, 1]


def test_the_answer_is_plain_json(files):
    answer = evaluate_split(*files, COLUMNS, "item_knn", at=20, threads=1)
    assert json.loads(json.dumps(answer)) == msgspec.json.decode(msgspec.json.encode(answer))
    assert {"recall@20", "ndcg@20", "hit_rate@20"} <= set(answer["metrics"])
    assert set(answer) == {"algorithm", "params", "users", "metrics", "fit_seconds", "recommend_seconds", "peak_rss_mb"}


def test_columns_that_cannot_serve_are_named_and_the_others_read_as_ingest_reads_them():
    log = {"who": [1, 1, 1], "what": ["a", "b", "c"], "x": ["10", "9", "100"]}
    assert leave_one_out(log, COLUMNS | {"order": "x"}, TYPES).part().targets.items.tolist() == [2], "numbers in text"
    days = log | {"x": ["2024-01-03", "2024-10-05", "2024-09-30"]}
    assert leave_one_out(days, COLUMNS | {"order": "x"}, TYPES).part().targets.items.tolist() == [1]
    stars = split(log | {"x": ["5", "1", "4"]}, log | {"x": ["5", "1", "4.5"]}, COLUMNS | {"value": "x"}, TYPES)
    assert stars.part().targets.items.tolist() == [0, 2]
    bad = {
        "value": [["5", "many", "4"], [1.0, math.nan, 2.0], [1e10, 1.0, 1.0], [True, False, True], [[1], [2], [3]]],
        "order": [["5", "soon", "4"], ["never", "soon", "late"], [1.0, math.nan, 2.0], np.array([2**63 + 1, 2, 3], np.uint64), [[1], [2], [3]]],
        "type": [["view", None, "view"]],
    }
    for role, columns in bad.items():
        for column in columns:
            with pytest.raises(BadColumn, match=role):
                leave_one_out(log | {"x": column}, COLUMNS | {role: "x"}, TYPES)
    many = {"who": [1] * 1002, "what": ["a"] * 1002, "x": [f"t{k}" for k in range(1002)]}
    with pytest.raises(BadColumn, match="event types"):
        leave_one_out(many, COLUMNS | {"type": "x"}, TYPES)


def test_moments_finer_than_a_microsecond_are_an_order():
    moments = pa.array([1_700_000_000_000_000_002, 1_700_000_000_000_009_001, 1_700_000_000_000_000_001], pa.timestamp("ns"))
    log = pa.table({"who": [1, 1, 1], "what": ["a", "b", "c"], "at": moments})
    assert leave_one_out(log, COLUMNS | {"order": "at"}, TYPES).part().targets.items.tolist() == [1]


@pytest.mark.parametrize(("name", "value"), [("at", 0), ("at", 1001), ("seed", -1), ("seed", 2**32), ("threads", -1)])
@pytest.mark.parametrize("algorithm", ["popularity", "default"])
def test_an_argument_out_of_range_is_named(files, algorithm, name, value):
    with pytest.raises(ConfigInvalid, match=f"training.{name}"):
        evaluate_split(*files, COLUMNS, algorithm, **{name: value})
    with pytest.raises(ConfigInvalid, match=f"training.{name}"):
        evaluate_log(files[0], COLUMNS, algorithm, **{name: value})


def test_numbers_may_be_written_as_python_writes_them():
    model = model_settings("als", {"unobserved_weight": ".0132", "regularization": "7e-6", "factors": "12"})
    assert (model.unobserved_weight, model.regularization, model.factors) == (0.0132, 7e-6, 12)
    assert engine_settings(Config(), {"diversity.relevance": "1"}).diversity.relevance == 1.0
