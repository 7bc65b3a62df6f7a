"""Events that no model likes to see, from a file to the reply: every kind of model in one blend, by the library and as typed.

What can be learned from is served; what cannot ends in an error that says what and where. `tests/unit/test_bad_input.py`
asks each kind by itself.
"""

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recengine import Engine
from recengine.errors import EmptyData

SMALL = {
    "als": ("factors = 8", "epochs = 3"),
    "svd": ("factors = 8",),
    "nmf": ("factors = 8", "epochs = 5"),
    "bpr": ("factors = 8", "epochs = 5"),
    "ease": ('inverse = "exact"',),
    "ease_sparse": ('inverse = "sparse"',),
    "graph_filter": (),
    "funk_svd": ("factors = 8", "epochs = 5"),
    "item_knn": (),
    "user_knn": (),
    "popularity": (),
}
TYPES = """
[[event]]
type = "look"
[[event]]
type = "rate"
weight = 2.0
value_neutral = 2.5
value_full = 5.0
[[event]]
type = "nothing"
weight = 0.0
[[event]]
type = "hate"
weight = -1.0
[training]
split = "random"
test_share = 0.3
validation_share = 0.3
"""
MODELS = "".join(
    "\n".join((f'[[model]]\nkind = "{name.removesuffix("_sparse")}"\nname = "{name}"\ntime_budget_ms = 100000', *keys, ""))
    for name, keys in SMALL.items()
)
USERS, ITEMS = 8, 7
PLAIN = [(u, i, "rate" if (u + i) % 2 else "look", 1.0 + (3 * u + i) % 5) for u in range(USERS) for i in range(ITEMS) if (u + i) % 3]
EVERYTHING = [(u, i) for u in range(USERS) for i in range(ITEMS)]

LEARNED = {
    "one user": [(0, i, "rate", 3.0 + i % 3) for i in range(9)],
    "a user with every item": [*PLAIN, *((99, i, "rate", 4.0) for i in range(ITEMS))],
    "duplicate pairs": PLAIN * 4,
    "zero weights": [*PLAIN, *((u, i, "nothing", None) for u, i in EVERYTHING)],
    "negative weights": [*PLAIN, *((50 + u, i, "hate", None) for u, i in EVERYTHING)],
    "constant ratings": [(u, i, "rate", 4.0) for u, i, _, _ in PLAIN],
    "values that are no numbers": [(u, i, t, math.nan if k % 4 == 0 else v) for k, (u, i, t, v) in enumerate(PLAIN)],
    "infinite values": [(u, i, t, math.inf if k % 4 == 0 else v) for k, (u, i, t, v) in enumerate(PLAIN)],
    "fewer items than factors": PLAIN,
}
REFUSED = {
    "one item": ([(u, 0, "look", None) for u in range(9)], "0 new items of users to judge by"),
    "zero weights alone": ([(u, i, "nothing", None) for u, i in EVERYTHING], "none of the 56 events counts as engagement; they are: nothing 56"),
    "negative weights alone": ([(u, i, "hate", None) for u, i in EVERYTHING], "they are: hate 56"),
    "neutral ratings alone": ([(u, i, "rate", 2.5) for u, i in EVERYTHING], "they are: rate 56"),
    "values that are no numbers alone": ([(u, i, "rate", math.nan) for u, i in EVERYTHING], "the store holds no events"),
}


def table(rows):
    """One event an hour."""
    users, items, types, values = zip(*rows, strict=True)
    stamps = [1_750_000_000 + 3600 * k for k in range(len(rows))]
    names = {"user_id": [f"u{u}" for u in users], "item_id": [f"i{i}" for i in items], "type": types}
    return pa.table(names | {"value": pa.array(values, pa.float64()), "timestamp": stamps})


@pytest.fixture
def shop(tmp_path):
    """An empty data directory with every kind of model in its blend."""
    path = tmp_path / "shop"
    path.mkdir()
    (path / "recengine.toml").write_text(MODELS + TYPES)
    return path


def numbers(reply):
    return [value for line in reply.items for value in (line.score, *line.contributions.values())]


@pytest.mark.parametrize("case", LEARNED)
def test_what_can_be_learned_from_is_served_without_a_nan(shop, case):
    rows = LEARNED[case]
    with Engine.open(shop, create=True) as engine:
        report = engine.ingest(events=table(rows))
        refused = sum(sum(source.quarantined.values()) for source in report.sources)
        assert refused == sum(v is not None and not math.isfinite(v) for *_, v in rows)
        engine.train(threads=1, force=True)
        asked = [*(f"u{u}" for u in sorted({u for u, *_ in rows})), "never seen", None]
        replies = [engine.recommend(user, n=5, explain=True) for user in asked]
        assert all(math.isfinite(value) for reply in replies for value in numbers(reply))
        assert all(0 <= line.score <= 1 for reply in replies for line in reply.items)
        assert all(len(reply.items) == 5 for reply in replies[-2:]), "somebody new is shown something"
        seen = {(f"u{u}", f"i{i}") for u, i, kind, value in rows if kind != "nothing" and (value is None or math.isfinite(value))}
        assert not seen & {(reply.user_id, line.item_id) for reply in replies for line in reply.items}
        assert not any(reason for reply in replies for reason in reply.degraded)


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_learned_from_is_an_error_that_says_why(shop, case):
    rows, said = REFUSED[case]
    with Engine.open(shop, create=True) as engine:
        engine.ingest(events=table(rows))
        with pytest.raises(EmptyData) as told:
            engine.train(threads=1)
        assert said in told.value.message
        assert told.value.hint
        assert 'split = "random"' not in told.value.hint, "it is set already"


@pytest.mark.parametrize(("case", "says"), [("neutral ratings alone", "rate 2.5"), ("negative weights alone", "`weight` above 0")])
def test_the_hint_names_the_setting_that_kept_everything_from_counting(shop, case, says):
    with Engine.open(shop, create=True) as engine:
        engine.ingest(events=table(REFUSED[case][0]))
        with pytest.raises(EmptyData) as told:
            engine.train(threads=1)
    assert says in told.value.hint
    assert ("value_neutral" in told.value.hint) is (case == "neutral ratings alone")


@pytest.mark.parametrize("case", REFUSED)
def test_the_same_as_typed_ends_with_a_code_and_one_line(run, shop, tmp_path, case):
    rows, said = REFUSED[case]
    pq.write_table(table(rows), tmp_path / "events.parquet")
    assert run("init", shop)[0] == 0
    assert run("ingest", shop, "--events", tmp_path / "events.parquet")[0] == 0
    code, out, err = run("train", shop)
    assert code == 1
    assert said in err
    assert "Traceback" not in out + err
    code, out, err = run("recommend", shop, "u0")
    assert code != 0, "nothing was trained"
    assert "Traceback" not in out + err


def test_learned_as_typed_and_asked_for_nobody_known(run, shop, tmp_path):
    pq.write_table(table(LEARNED["infinite values"]), tmp_path / "events.parquet")
    assert run("init", shop)[0] == 0
    code, out, err = run("ingest", shop, "--events", tmp_path / "events.parquet")
    assert code == 0
    assert "value is not a finite number" in out + err
    code, out, err = run("train", shop, "--force")
    assert code == 0, err
    reply = json.loads(run("recommend", shop, "never seen", "--json")[1])
    assert reply["cold"]
    assert all(math.isfinite(line["score"]) for line in reply["items"])


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('[[event]]\ntype = "look"\nweight = nan', "$.event[0].weight"),
        ('[[event]]\ntype = "rate"\nvalue_neutral = nan\nvalue_full = 5.0', "value_neutral of 'rate' must be a finite number, got nan"),
        ('[[event]]\ntype = "rate"\nvalue_neutral = 1.0\nvalue_full = inf', "value_full of 'rate' must be a finite number, got inf"),
        ('[[model]]\nkind = "als"\nfactors = 0', "$.model[0].factors"),
        ('[[model]]\nkind = "bpr"\nlearning_rate = nan', "$.model[0].learning_rate"),
        ('[[model]]\nkind = "ease"\nregularization = inf', "regularization must be a finite number, got inf - at `$.model[0]`"),
    ],
)
def test_a_setting_that_is_no_number_is_refused_by_its_place(run, tmp_path, line, place):
    shop = tmp_path / "shop"
    assert run("init", shop)[0] == 0
    (shop / "recengine.toml").write_text(line)
    code, _, err = run("train", shop)
    assert code == 2
    assert place in err
