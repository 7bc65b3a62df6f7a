"""The features stage: what a deployment keeps, planted leaks, shops that lack something, and that serving refuses a change."""

import numpy as np
import pytest

from recengine import Engine
from recengine.config import parse
from recengine.errors import ConfigInvalid, FeaturesChanged
from recengine.features.timelines import kept
from recengine.offline import cycle, featuring
from recengine.offline.featuring import training_table
from recengine.store.directory import CONFIG
from tests.unit.ingesting import opened
from tests.unit.shop import DAY, START, shop

LEAK = """
[[feature]]
name = "total"
entity = "item"
sql = "SELECT item_id AS entity, '-infinity'::TIMESTAMP AS time, count(*) AS value FROM events GROUP BY ALL"
[[feature]]
name = "per_total"
entity = "derived"
op = "ratio"
of = ["item_engaged", "total"]
[[feature]]
name = "honest"
entity = "item"
every = "2d"
sql = "SELECT item_id AS entity, time, count(*) OVER (PARTITION BY item_id ORDER BY time) AS value FROM events"
"""
ONE_MODEL = '[[model]]\nkind = "popularity"\n'
SMALL = "[features]\nrows = 4000\n[training]\nthreads = 2\n"


def rows(times=True, **sizes):
    """A small shop as frames; without times, the order of the file."""
    events, users, items = shop(**sizes)
    told = {"user": [f"u{u}" for u in events.user], "item": [f"i{i}" for i in events.item]}
    if times:
        told["order"] = events.time.astype("datetime64[us]")
    category, taste = items.columns["category"], users.columns["group"]
    described = {"item": [f"i{i}" for i in range(items.n)], "category": [category.labels[c] for c in category.data]}
    described["price"] = [1.0 + i % 7 for i in range(items.n)]
    people = {"user": [f"u{u}" for u in range(users.n)], "group": [taste.labels[c] for c in taste.data]}
    return {"events": told, "items": described, "users": people}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("featuring") / "shop") as made:
        made.ingest(**rows())
        yield made.database


def test_a_deployment_keeps_features_and_transforms_that_answer(database):
    told = []
    made = featuring.run(database, parse(SMALL), progress=lambda *step: told.append(step))
    assert told[0] == ("features", 0, 4)
    assert told[-1] == ("features", 4, 4)
    report, deployed = made.report, made.deployed
    assert 800 <= report.rows <= 4000
    assert report.rows % 5 == 0
    assert {*report.kept} | {*report.dropped} == {*training_table(database, parse(SMALL)).features.names}
    assert {"item_engaged", "category_share"} & {*report.kept}
    assert report.dropped["context_device"].startswith("constant: missing in all")
    assert report.auc > 0.55, "a taste for one of three categories can be told"
    values = np.full((len(deployed.kept), 3), np.nan, np.float32)
    assert deployed.program.apply(values).shape == (3, report.columns)
    missing = {c for c, v in zip(deployed.program.columns, deployed.program.apply(values)[0], strict=True) if np.isnan(v)}
    assert missing == {name for name in deployed.kept if deployed.features[name].transform == "none"}
    again = featuring.run(database, parse(SMALL))
    assert again.report.kept == report.kept
    assert again.deployed.versions == deployed.versions


def test_the_table_is_the_same_for_any_number_of_threads(database):
    one, two = (training_table(database, parse(SMALL), threads=threads).values for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_a_planted_leak_is_dropped_with_what_is_made_of_it(database):
    made = featuring.run(database, parse(SMALL + LEAK))
    report = made.report
    assert {feature.name for feature, _ in made.told} >= {"total", "honest"}
    assert all(kept(database, feature) is None for feature, _ in made.told), "what may be refused yet keeps nothing"
    assert report.dropped["total"].startswith("leak: it sees the future")
    assert report.dropped["per_total"] == "leak: it is made of total, which leaks"
    assert "leak" not in report.dropped.get("honest", "")


def test_a_table_as_of_a_moment_knows_nothing_later(database):
    moment = START + 12 * DAY
    table = training_table(database, parse(SMALL), as_of=moment)
    assert table.drawn.probes.times.max() <= moment
    whole = training_table(database, parse(SMALL))
    assert whole.drawn.probes.times.max() > moment


def test_an_order_that_is_no_time_has_features_of_counts(tmp_path):
    with opened(tmp_path / "shop") as made:
        made.ingest(events=rows(times=False)["events"])
        report = featuring.run(made.database, parse(SMALL)).report
        assert "item_engaged" in {*report.kept} | {*report.dropped}
        assert report.dropped["item_engaged_7d"].startswith("constant: missing in all")
        assert any(name in report.kept for name in ("item_engaged", "user_events", "pair_covisits"))
        assert not any("item_price" in name for name in (*report.kept, *report.dropped)), "nothing is described"


def test_a_shop_without_attributes_and_an_empty_one_have_features(tmp_path):
    with opened(tmp_path / "bare") as made:
        made.ingest(events=rows()["events"])
        report = featuring.run(made.database, parse(SMALL)).report
        assert report.kept
        assert "category_share" in report.dropped
    with opened(tmp_path / "empty") as made:
        report = featuring.run(made.database, parse(SMALL + LEAK)).report
        assert report.rows == 0
        assert report.kept == ()
        assert all(reason.startswith("constant") for reason in report.dropped.values())


def test_training_keeps_features_and_serving_refuses_what_is_defined_otherwise(tmp_path):
    folder = tmp_path / "shop"
    given = rows()
    with Engine.open(folder, create=True) as engine:
        engine.ingest(**given)
        (folder / CONFIG).write_text(SMALL + ONE_MODEL + LEAK)
    with Engine.open(folder) as engine:
        report = engine.train(force=True)
        assert report.features is not None
        assert report.features.kept
        assert kept(engine._database, featuring.defined(engine._database, engine.config)["total"]) is not None
        assert engine.spine().deployment.features.kept == report.features.kept
        assert len(engine.recommend("u1").items) > 0
    with Engine.open(folder) as engine:
        assert engine.spine().deployment.features.selection.dropped["total"].startswith("leak")
    (folder / CONFIG).write_text(SMALL + ONE_MODEL + LEAK + '[[event]]\ntype = "interaction"\nrole = "convert"\n')
    with Engine.open(folder) as engine:
        with pytest.raises(FeaturesChanged, match="was trained as version"):
            engine.recommend("u1")
        assert cycle.live_of(engine.artifacts).deployment is not None, "it can still be judged"
        engine.train(force=True)
        assert len(engine.recommend("u1").items) > 0
    (folder / CONFIG).write_text(SMALL + ONE_MODEL + '[[feature]]\nname = "x"\nentity = "item"\nsql = "SELECT nothing"\n')
    with Engine.open(folder) as engine, pytest.raises(ConfigInvalid, match=r"recengine\.toml:7: feature 'x': the query fails"):
        engine.train(force=True)
    (folder / CONFIG).write_text("[features]\nenabled = false\n")
    with Engine.open(folder) as engine:
        report = engine.train(force=True)
        assert report.features is None
        assert engine.spine().deployment.features is None
