"""An increment: what it learns, what it carries over, when it refuses, and what is left when it is interrupted."""

import msgspec
import numpy as np
import pytest

from recengine import Engine
from recengine.config import Config
from recengine.errors import BadArtifact, FullTrainNeeded, GateFailed, NotTrained
from recengine.offline import continuity
from recengine.offline.continuity import ContinuityReport
from tests.unit.shop import DAY, shop

MODELS = [
    {"kind": "als", "factors": 8, "epochs": 6},
    {"kind": "item_knn", "neighbors": 20},
    {"kind": "user_knn", "neighbors": 20},
    {"kind": "popularity"},
]


def config(**training):
    tree = {"model": MODELS, "features": {"enabled": False}, "training": {"at": 5, "threads": 1} | training}
    return msgspec.convert(tree, Config)


class Place:
    """A data directory that has learned from the first days of a shop."""

    def __init__(self, folder, **training):
        self.engine = Engine.open(folder / "shop", config=config(**training), create=True)
        self.events, _, _ = shop()
        self.start = int(self.events.time.min())

    def add(self, first, last):
        """Ingest the events of these days; returns how many."""
        days = (self.events.time - self.start) / DAY
        keep = np.flatnonzero((days >= first) & (days < last))
        rows = {
            "user": [f"u{u}" for u in self.events.user[keep]],
            "item": [f"i{i}" for i in self.events.item[keep]],
            "order": self.events.time[keep].tolist(),
        }
        self.engine.ingest(events=rows, order_unit="us")
        return len(keep)

    def live(self):
        return self.engine.artifacts.current()

    def about(self):
        return self.engine.artifacts.manifest(self.live()).about


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    with made.engine:
        made.add(0, 20)
        yield made


def test_an_increment_goes_live_and_says_what_it_stands_on(place):
    full = place.engine.train(force=True).version
    new = place.add(20, 20.5)
    report = place.engine.train(incremental=True)
    assert report.events == new > 0
    assert report.version == place.live() != full
    assert {m.name for m in report.models if m.updated} >= {"als", "popularity"}
    about = place.about()
    assert about.incremental.full == about.incremental.previous == full == report.full
    assert about.incremental.increments == report.increments == 1
    assert about.events == len(place.events.time[place.events.time < place.start + 20.5 * DAY])
    assert about.last == int(place.events.time[place.events.time < place.start + 20.5 * DAY].max())
    assert about.metrics == {"overlap@5": report.continuity.overlap}
    assert place.engine.recommend("u0", 3).version == report.version
    assert msgspec.json.encode(report)


def test_an_increment_carries_calibrations_and_weights_and_knows_the_new(place):
    place.engine.train(force=True)
    before = place.engine.spine().deployment
    place.engine.ingest(
        events={"user": ["new"] * 4, "item": ["i0", "i1", "i3", "brand_new"], "order": [place.start + 20 * DAY] * 4},
        order_unit="us",
    )
    report = place.engine.train(incremental=True)
    after = place.engine.spine().deployment
    assert (report.new_users, report.new_items) == (1, 1)
    assert (after.n_users, after.n_items) == (before.n_users + 1, before.n_items + 1)
    for name in ("slopes", "intercepts", "weights"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    factors = after.members[0].scorer.item_factors() if hasattr(after.members[0].scorer, "item_factors") else None
    assert factors is None or np.isfinite(factors[-1]).all()
    assert len(after.vectors) == after.n_items
    assert len(place.engine.recommend("new", 3).items) == 3


def test_nothing_new_is_said_and_the_version_stays(place):
    version = place.engine.train(force=True).version
    report = place.engine.train(incremental=True)
    assert (report.version, report.events, report.deploy) == (version, 0, None)
    assert place.engine.artifacts.list_versions() == (version,)


def test_without_a_live_deployment_an_increment_cannot_be_made(place):
    with pytest.raises(NotTrained):
        place.engine.train(incremental=True)


def test_another_configuration_asks_for_a_full_training(place, tmp_path):
    version = place.engine.train(force=True).version
    place.engine.close()
    tree = msgspec.to_builtins(config())
    tree["model"][0]["factors"] = 16
    with Engine.open(tmp_path / "shop", config=msgspec.convert(tree, Config)) as engine:
        with pytest.raises(FullTrainNeeded, match="als"):
            engine.train(incremental=True)
        assert engine.artifacts.current() == version


def test_a_chain_of_increments_has_a_bound(tmp_path):
    made = Place(tmp_path, full_every=2)
    with made.engine:
        made.add(0, 18)
        full = made.engine.train(force=True).version
        for day in (18, 18.5):
            made.add(day, day + 0.5)
            assert made.engine.train(incremental=True).full == full
        made.add(19, 19.5)
        with pytest.raises(FullTrainNeeded, match="full_every"):
            made.engine.train(incremental=True)
        assert made.engine.train(force=True).version == made.live()
        assert made.about().incremental is None


def test_much_new_data_asks_for_a_full_training(tmp_path):
    made = Place(tmp_path, full_share=0.05)
    with made.engine:
        made.add(0, 15)
        made.engine.train(force=True)
        made.add(15, 20)
        with pytest.raises(FullTrainNeeded, match="full_share"):
            made.engine.train(incremental=True)


def test_the_full_training_below_increments_is_kept_and_judged_against(tmp_path):
    made = Place(tmp_path, keep_versions=1)
    with made.engine:
        made.add(0, 15)
        full = made.engine.train(force=True).version
        for day in range(15, 18):
            made.add(day, day + 0.4)
            made.engine.train(incremental=True)
        assert full in made.engine.artifacts.list_versions()
        made.add(18, 21)
        report = made.engine.train(force=True)
        assert report.validation.live is not None
        assert any(full in note for note in report.validation.notes)


def test_increments_then_a_full_training_give_what_a_full_training_gives(tmp_path):
    learned = []
    for name, steps in (("alone", (20.0,)), ("after", (18.0, 19.0, 20.0))):
        (tmp_path / name).mkdir()
        made = Place(tmp_path / name)
        with made.engine:  # rows by name, so that both number alike
            made.engine.ingest(items=[{"item_id": f"i{i}"} for i in range(60)], users=[{"user_id": f"u{u}"} for u in range(150)])
            made.add(0, steps[0])
            for last, step in zip(steps, steps[1:], strict=False):
                made.engine.train(**({"force": True} if last == steps[0] else {"incremental": True}))
                made.add(last, step)
            made.engine.train(force=True)
            learned.append({m.name: m.scorer for m in made.engine.spine().deployment.members})
    alone, after = learned
    np.testing.assert_array_equal(alone["als"].item_factors(), after["als"].item_factors())
    np.testing.assert_array_equal(alone["popularity"].ranking("popular"), after["popularity"].ranking("popular"))


def test_neighbours_of_the_changed_and_counts_are_those_of_a_full_training(place):
    place.engine.train(force=True)
    old = {m.name: m.scorer for m in place.engine.spine().deployment.members}
    place.add(20, 20.1)
    days = (place.events.time - place.start) / DAY
    keep = (days >= 20) & (days < 20.1)
    report = place.engine.train(incremental=True)
    assert all(model.updated for model in report.models)
    by_steps = {m.name: m.scorer for m in place.engine.spine().deployment.members}
    ids = place.engine._ids
    changed = np.unique([ids.items.row(f"i{i}") for i in place.events.item[keep]]).astype(np.int32)
    still = np.setdiff1d(np.arange(len(ids.items)), changed).astype(np.int32)
    assert min(len(changed), len(still)) > 5
    place.engine.train(force=True)
    at_once = {m.name: m.scorer for m in place.engine.spine().deployment.members}
    for name, rows, other in (("item_knn", changed, at_once), ("item_knn", still, old)):
        mine, theirs = (models[name].similar_items(rows, 9) for models in (by_steps, other))
        np.testing.assert_array_equal(mine.items, theirs.items)
        np.testing.assert_array_equal(mine.scores, theirs.scores)
    np.testing.assert_array_equal(*(models["popularity"].tally.counts for models in (by_steps, at_once)))
    users = np.unique([ids.users.row(f"u{u}") for u in place.events.user[keep]]).astype(np.int32)
    near = [models["user_knn"]._learned.near.items for models in (by_steps, at_once, old)]
    np.testing.assert_array_equal(near[0][users], near[1][users])
    others = np.setdiff1d(np.arange(len(near[2])), users)
    np.testing.assert_array_equal(near[0][others], near[2][others])


def test_rows_that_stay_are_files_of_the_version_before_and_damage_to_them_is_seen(place):
    full = place.engine.train(force=True).version
    place.add(20, 20.1)
    version, artifacts = place.engine.train(incremental=True).version, place.engine.artifacts
    files = [artifacts.folder / name / "models" / "item_knn" / "neighbors.npy" for name in (full, version)]
    assert files[0].samefile(files[1])
    artifacts.open(version)
    content = bytearray(files[1].read_bytes())
    content[-1] ^= 1
    files[1].write_bytes(content)
    for name in (full, version):
        with pytest.raises(BadArtifact, match="neighbors.npy"):
            artifacts.open(name)


def test_an_interrupt_leaves_the_live_deployment_and_nothing_half_written(place):
    version = place.engine.train(force=True).version
    place.add(20, 20.5)
    for stop in range(4):
        heard = 0

        def interrupt(*_call, stop=stop):
            nonlocal heard
            heard += 1
            if heard > stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            place.engine.train(incremental=True, progress=interrupt)
        assert place.live() == version
        assert place.engine.artifacts.list_versions() == (version,)
        assert list(place.engine.artifacts.folder.glob(".tmp-*")) == []
    assert place.engine.train(incremental=True).version != version


def test_a_forgotten_user_is_in_no_model_after_the_next_increment(place):
    place.engine.train(force=True)
    place.engine.forget("u3")
    place.add(20, 20.5)
    place.engine.train(incremental=True)
    users = place.engine.spine().deployment.members[0].scorer._learned.users
    assert np.isnan(users).all(axis=1).sum() == 1


def test_lists_that_have_little_in_common_with_the_live_ones_are_refused():
    report = ContinuityReport(at=5, users=100, overlap=0.2, unsound=())
    with pytest.raises(GateFailed, match="20%"):
        continuity.gate(report)
    with pytest.raises(GateFailed, match="als"):
        continuity.gate(msgspec.structs.replace(report, overlap=1.0, unsound=("als",)))
    assert continuity.gate(msgspec.structs.replace(report, overlap=0.9)).overlap == 0.9


def test_options_of_a_full_training_do_not_go_with_an_increment(place):
    place.engine.train(force=True)
    with pytest.raises(TypeError):
        place.engine.train(incremental=True, as_of=5)
