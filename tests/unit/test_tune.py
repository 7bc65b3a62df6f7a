"""Searching settings: what is drawn, what goes on, what a file of trials is good for, and that ranges fit their models."""

import json

import msgspec
import numpy as np
import pytest

from recengine.config import RANGES, Config, FactorNeighbors, Tune, commented, parse
from recengine.config.tune import FIXED, KINDS, checked
from recengine.errors import BadUsage, ConfigInvalid, SourceUnreadable, TrainingFailed
from recengine.jobs.tuning import tune_files
from recengine.offline import build, tune
from recengine.types import Column
from tests.unit.shop import shop
from tests.unit.test_train import config

SEARCHED = [{"kind": "item_knn", "neighbors": 1, "shrinkage": 1000.0}, {"kind": "popularity"}]


@pytest.fixture(scope="module")
def part():
    events, users, items = shop()
    return build.split(events, config(SEARCHED), users, items).validation


def search(part, file, model="item_knn", settings=None, **options):
    return tune.run(part, settings or config(SEARCHED), model, file, **({"trials": 9} | options))


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def without_time(file):
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines(file)]


def test_a_search_beats_a_bad_configuration_and_gives_one_that_loads(part, tmp_path):
    report, best = search(part, tmp_path / "t.jsonl")
    assert report.score > report.configured
    assert report.score == max(line["score"] for line in lines(tmp_path / "t.jsonl")[1:] if line["budget"] == 1)
    tuned = best.model[0]
    assert {key: getattr(tuned, key) for key in report.best} == report.best
    assert best.model[1] == config(SEARCHED).model[1]
    assert parse(commented(best)) == best


def test_the_best_third_goes_on_and_what_is_configured_with_it(part, tmp_path):
    search(part, tmp_path / "t.jsonl")
    by_budget = {}
    for line in lines(tmp_path / "t.jsonl")[1:]:
        by_budget.setdefault(line["budget"], []).append(line)
    small, whole = (by_budget[budget] for budget in sorted(by_budget))
    assert [line["trial"] for line in small] == list(range(9))
    assert small[0]["settings"] == {}
    best = sorted(small, key=lambda line: (-line["score"], line["trial"]))[:3]
    assert [line["trial"] for line in whole] == sorted({0, *(line["trial"] for line in best)})


def test_the_same_seed_tries_the_same_and_another_one_does_not(part, tmp_path):
    for name in ("a", "b"):
        search(part, tmp_path / name)
    assert without_time(tmp_path / "a") == without_time(tmp_path / "b")
    search(part, tmp_path / "c", settings=config(SEARCHED, seed=1))
    assert without_time(tmp_path / "a")[2]["settings"] != without_time(tmp_path / "c")[2]["settings"]


def test_a_search_that_was_stopped_goes_on_where_it_was(part, tmp_path):
    whole, _ = search(part, tmp_path / "whole")
    calls = []

    def stop(*call):
        calls.append(call)
        if len(calls) > 5:
            raise KeyboardInterrupt

    file = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        search(part, file, progress=stop)
    assert len(lines(file)) == 1 + 5
    with file.open("ab") as torn:
        torn.write(b'{"trial": 5, "bud')
    report, _ = search(part, file, resume=True)
    assert report.resumed == 5
    assert (report.best, report.score, report.fits) == (whole.best, whole.score, whole.fits)
    assert without_time(file) == without_time(tmp_path / "whole")


def test_a_file_that_is_there_or_of_another_search_is_left_alone(part, tmp_path):
    file = tmp_path / "t"
    search(part, file, trials=2)
    held = file.read_bytes()
    with pytest.raises(BadUsage, match="already"):
        search(part, file, trials=2)
    for other in ({"trials": 3}, {"trials": 2, "settings": config(SEARCHED, seed=7)}, {"trials": 2, "model": "popularity"}):
        with pytest.raises(BadUsage, match="another search"):
            search(part, file, resume=True, **other)
    assert file.read_bytes() == held


def changed_parts(part):
    """Parts that differ in one thing that some model learns from."""
    data, rows = part.data, part.data.interactions
    price = Column("number", np.arange(data.items.n, dtype=np.float64))
    yield "values", {"interactions": msgspec.structs.replace(rows, values=np.ones(len(rows.items), np.float32))}
    yield "times", {"interactions": msgspec.structs.replace(rows, times=rows.times + 1)}
    yield "an attribute of items", {"items": msgspec.structs.replace(data.items, columns={"price": price})}
    yield "a text of users", {"users": msgspec.structs.replace(data.users, columns={"name": Column("text", np.full(data.users.n, None))})}
    yield "what is available", {"items": msgspec.structs.replace(data.items, available=1 - data.items.available)}
    yield "the moment", {"as_of": data.as_of + 1}


def test_a_search_is_not_resumed_on_other_data(part, tmp_path):
    file = tmp_path / "t"
    search(part, file, trials=1)
    for what, change in changed_parts(part):
        other = msgspec.structs.replace(part, data=msgspec.structs.replace(part.data, **change))
        with pytest.raises(BadUsage, match="another search; not the same: data"):
            pytest.fail(f"resumed with {what} changed: {search(other, file, trials=1, resume=True)}")
    settings = config(SEARCHED)
    events = msgspec.structs.replace(settings, event=(msgspec.structs.replace(settings.event[0], weight=3.0), *settings.event[1:]))
    with pytest.raises(BadUsage, match=r"not the same: event \("):
        search(part, file, trials=1, resume=True, settings=events)
    shelves = msgspec.structs.replace(settings, serving=msgspec.structs.replace(settings.serving, category="shelf"))
    with pytest.raises(BadUsage, match=r"not the same: category \("):
        search(part, file, trials=1, resume=True, settings=shelves)
    assert search(part, file, trials=1, resume=True)[0].resumed == 1


def test_what_is_no_file_of_trials_is_said_by_its_line_and_left_as_it_is(part, tmp_path):
    file = tmp_path / "t"
    search(part, file, trials=2)
    good = file.read_bytes()
    head = good.split(b"\n")[0]
    for content, line in ((b"milk, eggs\nbread", 1), (b"notes", 1), (b'{"a": 1}\n', 1), (b"[1]\n", 1), (head + b"\nmilk\n", 2), (good + b"\xff\n", 4)):
        file.write_bytes(content)
        with pytest.raises(SourceUnreadable, match=f"line {line}: not a trial file, or damaged"):
            search(part, file, trials=2, resume=True)
        assert file.read_bytes() == content
    for torn in (b"", head[:30], head):  # a crash while it was begun
        file.write_bytes(torn)
        assert search(part, file, trials=2, resume=True)[0].resumed == 0
        assert [line | {"seconds": 0} for line in lines(file)[1:]] == [json.loads(line) | {"seconds": 0} for line in good.splitlines()[1:]]


def test_epochs_are_the_budget_of_models_that_have_some(part, tmp_path, monkeypatch):
    asked = []
    trained = tune.fit
    monkeypatch.setattr(tune, "fit", lambda data, settings: (asked.append(settings.model[0].epochs), trained(data, settings))[1])
    settings = config([{"kind": "als", "factors": 4, "epochs": 9}])
    search(part, tmp_path / "t", "als", settings, trials=9)
    assert asked[:9] == [3] * 9
    assert set(asked[9:]) == {9}


def test_sources_that_need_other_models_do_not_keep_one_from_being_tuned(part, tmp_path):
    settings = config([{"kind": "als", "factors": 4, "epochs": 1}, *SEARCHED])
    settings = msgspec.structs.replace(settings, candidates=(FactorNeighbors(),))
    report, best = search(part, tmp_path / "t", settings=settings, trials=2)
    assert report.fits == 2
    assert best.candidates == settings.candidates


def test_what_cannot_be_trained_is_said_and_passed_over(part, tmp_path, monkeypatch):
    trained = tune.fit

    def fails(data, settings):
        if settings.model[0].neighbors > 1:
            raise TrainingFailed("item_knn: diverged")
        return trained(data, settings)

    monkeypatch.setattr(tune, "fit", fails)
    report, best = search(part, tmp_path / "t", trials=2)
    assert report.best == {}
    assert best == config(SEARCHED)
    assert lines(tmp_path / "t")[2]["score"] is None
    assert "diverged" in lines(tmp_path / "t")[2]["error"]


def test_a_name_that_is_not_configured_and_no_trial_are_refused(part, tmp_path):
    with pytest.raises(BadUsage, match="nobody"):
        search(part, tmp_path / "t", "nobody")
    with pytest.raises(BadUsage, match="trials"):
        search(part, tmp_path / "t", trials=0)
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("one", RANGES, ids=lambda one: f"{one.model}.{one.key}")
def test_a_shipped_range_fits_its_model(one):
    assert checked(one, KINDS[one.model]) is one
    assert one.key not in FIXED


def test_a_shipped_range_can_draw_what_is_the_default():
    """But for what has no number by default, which trial 0 alone tries."""
    for one in RANGES:
        default = getattr(KINDS[one.model](), one.key)
        inside = default in one.choices if one.choices is not None else default is None or one.low <= default <= one.high
        assert inside, f"{one.model}.{one.key}: {default}"


def test_every_kind_has_something_to_try():
    assert {one.model for one in RANGES} == set(KINDS)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"model": "als", "key": "factor", "low": 1.0, "high": 2.0}, "no setting 'factor'"),
        ({"model": "als", "key": "regularization", "low": -1.0, "high": 2.0}, "cannot be tried"),
        ({"model": "als", "key": "factors", "choices": ["many"]}, "cannot be tried"),
        ({"model": "als", "key": "weight", "low": 0.1, "high": 0.2}, "no setting 'weight'"),
        ({"model": "nobody", "key": "factors", "choices": [3]}, "nobody"),
        ({"model": "als", "key": "regularization", "low": 2.0, "high": 1.0}, "low < high"),
        ({"model": "als", "key": "regularization", "low": 1.0}, "low < high"),
        ({"model": "als", "key": "regularization", "choices": []}, "at least one"),
        ({"model": "als", "key": "regularization_exponent", "low": 0.0, "high": 1.0, "scale": "log"}, "above 0"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(said, why):
    with pytest.raises(msgspec.ValidationError, match=why):
        msgspec.convert({"tune": [said]}, Config)


def test_values_stay_between_their_bounds_and_whole_where_the_setting_is():
    ranges = (Tune(model="item_knn", key="neighbors", low=5, high=50, scale="log"), Tune(model="item_knn", key="shrinkage", low=0.5, high=5.0))
    model = config(SEARCHED).model[0]
    drawn = [tune.sampled(ranges, 0, trial, model) for trial in range(1, 200)]
    neighbors = np.array([one["neighbors"] for one in drawn])
    assert all(isinstance(one["neighbors"], int) for one in drawn)
    assert 5 <= neighbors.min() < 8
    assert 30 < neighbors.max() <= 50
    assert np.median(neighbors) < 25, "a log scale"
    assert all(0.5 <= one["shrinkage"] <= 5.0 for one in drawn)


def test_files_are_searched_without_a_directory(tmp_path):
    rows = {"user": [f"u{u}" for u in range(30) for _ in range(6)], "item": [f"i{(u * 5 + 3 * k) % 17}" for u in range(30) for k in range(6)]}
    report, best = tune_files(rows, {}, "item_knn", tmp_path / "t", trials=3, at=5, threads=1)
    assert report.kind == "item_knn"
    assert [type(model).__struct_config__.tag for model in best.model] == ["item_knn"]
    with pytest.raises(ConfigInvalid):
        tune_files(rows, {}, "nothing", tmp_path / "u", trials=3)
    sources = Config(candidates=(FactorNeighbors(),))
    assert tune_files(rows, {}, "item_knn", tmp_path / "v", trials=1, at=5, threads=1, config=sources)[0].fits == 1
