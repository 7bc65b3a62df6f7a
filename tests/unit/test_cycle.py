"""The whole way from events in a store to a live version, and what is left when it is refused or interrupted."""

import shutil

import msgspec
import numpy as np
import pytest

from recengine.artifacts.store import ArtifactStore
from recengine.errors import BadArtifact, EmptyData, GateFailed
from recengine.offline import cycle, deploy
from recengine.offline.ingest import ingest
from recengine.offline.validate import ValidationReport
from recengine.retrieval.deployment import load
from recengine.store.database import Database
from recengine.store.vocab import load_vocabularies
from tests.unit.shop import DAY, shop
from tests.unit.test_train import config


class Shop:
    """A store with the events of the first days of a shop, and what came later, ready to be added."""

    def __init__(self, folder):
        self.config = config()
        self.database = Database.open(folder / "recengine.duckdb", self.config.store, create=True)
        self.artifacts = ArtifactStore(folder / "artifacts")
        self.quarantine = folder / "quarantine"
        self.events, _, _ = shop()
        self.start = int(self.events.time.min())

    def add(self, first, last):
        """Ingest the events of these days."""
        day = (self.events.time - self.start) // DAY
        keep = np.flatnonzero((day >= first) & (day < last))
        rows = {
            "user": [f"u{u}" for u in self.events.user[keep]],
            "item": [f"i{i}" for i in self.events.item[keep]],
            "order": self.events.time[keep].tolist(),
        }
        ids = load_vocabularies(self.database)
        ingest(self.database, ids, events=rows, order_unit="us", quarantine=self.quarantine, types=self.config.event)

    def train(self, **options):
        return cycle.train(self.database, self.artifacts, self.config, **options)

    def leftovers(self):
        return [p.name for p in self.artifacts.folder.glob(".tmp-*")] if self.artifacts.folder.exists() else []


@pytest.fixture
def place(tmp_path):
    made = Shop(tmp_path)
    yield made
    made.database.close()


def test_a_first_training_goes_live_and_the_deployment_knows_everything(place):
    place.add(0, 21)
    report = place.train()
    assert place.artifacts.current() == report.version
    assert report.deploy.previous is None
    manifest = place.artifacts.manifest(report.version)
    assert manifest.about.events == len(place.events.seq) == report.build.events
    assert manifest.about.last == int(place.events.time.max())
    assert manifest.about.metrics["ndcg@5"] == report.validation.candidate.metrics["ndcg@5"]
    live = load(place.artifacts.open(), report.version)
    assert live.n_users == 150
    assert [m.weight for m in live.members] == [m.weight for m in report.train.models]
    assert msgspec.json.encode(report)


def test_an_empty_store_cannot_be_trained_on(place):
    with pytest.raises(EmptyData):
        place.train()
    assert place.artifacts.list_versions() == ()


def test_training_again_after_new_events_is_judged_by_what_came_after_the_live_one(place):
    place.add(0, 15)
    first = place.train()
    assert place.train().validation.live is None, "nothing new came, so the live one cannot be judged"
    assert place.artifacts.current() != first.version
    place.add(15, 21)
    third = place.train()
    assert third.validation.live is not None
    assert {c.rival for c in third.validation.comparisons} == {"popularity", "live"}
    assert third.deploy.previous != first.version


def test_training_as_of_a_moment_knows_nothing_later(place):
    place.add(0, 21)
    moment = place.start + 14 * DAY
    report = place.train(as_of=moment)
    assert place.artifacts.manifest(report.version).about.last <= moment
    assert report.build.last <= moment


def test_an_interrupt_at_any_moment_leaves_the_live_deployment_and_no_folder_behind(place):
    place.add(0, 21)
    live = place.train().version
    calls = []
    place.train(progress=lambda *call: calls.append(call))
    place.artifacts.promote(live)
    versions = place.artifacts.list_versions()
    for stop in range(0, len(calls), max(1, len(calls) // 8)):
        heard = 0

        def interrupt(*_call, stop=stop):
            nonlocal heard
            heard += 1
            if heard > stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            place.train(progress=interrupt)
        assert place.artifacts.current() == live
        assert place.artifacts.list_versions() == versions
        assert place.leftovers() == []


def test_a_refused_candidate_leaves_the_live_deployment_and_can_be_forced(place, tmp_path):
    place.add(0, 15)
    live = place.train().version
    place.add(15, 21)
    noise = {"kind": "popularity", "trending_share": 1.0, "half_life_days": 0.01}
    place.config = config([noise])  # worse than what is live
    with pytest.raises(GateFailed, match="live"):
        place.train()
    assert place.artifacts.current() == live
    assert place.leftovers() == []
    forced = place.train(force=True)
    assert forced.validation.overruled
    assert place.artifacts.current() == forced.version


def test_a_damaged_live_version_is_noted_and_replaced(place):
    place.add(0, 21)
    version = place.train().version
    folder = place.artifacts.folder / version
    (folder / "deployment.json").write_text("{}")
    with pytest.raises(BadArtifact):
        place.artifacts.open()
    report = place.train()
    assert any("deployment.json" in note for note in report.validation.notes)
    assert place.artifacts.open().name == report.version


def test_old_versions_are_pruned_and_reported(place):
    place.add(0, 21)
    place.config = config(keep_versions=2)
    versions = [place.train().version for _ in range(4)]
    assert place.artifacts.list_versions() == (versions[3], versions[2])


def test_old_versions_that_cannot_be_removed_do_not_hide_that_the_new_one_is_live(place, monkeypatch):
    place.add(0, 21)
    place.config = config(keep_versions=1)
    place.train()
    place.train()

    def refuse(path, *_, **__):
        raise PermissionError(13, "not allowed", str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    report = place.train()
    assert place.artifacts.current() == report.version
    assert report.deploy.removed == ()
    assert ["not allowed" in note and report.version in note for note in report.deploy.notes] == [True]


def test_only_a_passed_report_can_be_deployed(place):
    place.add(0, 21)
    report = place.train()
    unpassed = ValidationReport(**{f: getattr(report.validation, f) for f in ValidationReport.__struct_fields__})
    with pytest.raises(GateFailed, match="passed"):
        deploy.run(unpassed, load(place.artifacts.open(), "x"), place.artifacts, place.config, data=report.build)
