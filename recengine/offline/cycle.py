"""The offline spine: this file is the whole way from events to a live deployment, in order.

Each stage takes the type before it and returns the next one's; a stage that refuses raises, and what was live stays
live. The pointer to the live version moves once, at the very end, in one rename: Ctrl-C anywhere before leaves it
untouched and no temporary folder behind. Ingest, the stage before, is called on its own and more often
(`Engine.ingest`).
"""

import time

import msgspec

from recengine.artifacts.store import ArtifactStore
from recengine.config import Config
from recengine.errors import BadArtifact, FeaturesChanged, UnknownVersion
from recengine.features.timelines import keep
from recengine.offline import build, deploy, featuring, validate
from recengine.offline import train as training
from recengine.offline.build import BuildReport
from recengine.offline.deploy import DeployReport
from recengine.offline.featuring import FeaturesReport
from recengine.offline.train import Progress, TrainReport
from recengine.offline.validate import PassedReport
from recengine.retrieval.deployment import Deployment, load
from recengine.store.database import Database

__all__ = ("CycleReport", "Live", "live_of", "train")


class CycleReport(msgspec.Struct, frozen=True, kw_only=True):
    """What every stage reported."""

    version: str
    """The new live version."""
    build: BuildReport
    features: FeaturesReport | None
    """None = `features.enabled` is false."""
    train: TrainReport
    validation: PassedReport
    deploy: DeployReport
    seconds: float


class Live(msgspec.Struct, frozen=True):
    """The deployment that answers now; `until` is the time of the last event that it has learned from."""

    deployment: Deployment | None
    until: int | None
    notes: tuple[str, ...] = ()


def train(
    database: Database,
    artifacts: ArtifactStore,
    config: Config,
    *,
    as_of: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> CycleReport:
    """Go once from what the store holds to a live deployment.

    Parameters
    ----------
    as_of : learn from nothing later than this; None = all.
    force : deploy even what the gate refuses; the report says so.
    progress : is told what is going on, from this thread.

    Raises
    ------
    EmptyData : there is too little to learn from.
    ConfigInvalid : a definition of a feature cannot be used; the message names file and line.
    TrainingFailed : a model could not be fitted.
    GateFailed : the candidate is not good enough; the message says against what.
    """
    start = time.perf_counter()
    live = live_of(artifacts)

    built = build.run(database, config, as_of=as_of, after=live.until)  # to learn from, and to judge by
    featured = featuring.run(database, config, as_of=as_of, progress=progress) if config.features.enabled else None
    trained = training.run(built, config, progress=progress)  # fit, calibrate, weigh
    report = validate.run(
        built, trained, config, live=live.deployment, until=live.until, notes=live.notes, progress=progress
    )
    passed = validate.gate(report, force=force)  # or raise
    deployment = training.final(built, trained.choice, config, progress=progress)  # the same, on everything
    if featured is not None:
        deployment = msgspec.structs.replace(deployment, features=featured.deployed)
    deployed = deploy.run(passed, deployment, artifacts, config, data=built.report)  # written, then live
    if featured is not None:
        keep(database, featured.told)  # what timelines say: serving goes on from it should a query fail later

    return CycleReport(
        version=deployed.version,
        build=built.report,
        features=featured.report if featured is not None else None,
        train=trained.report,
        validation=passed,
        deploy=deployed,
        seconds=time.perf_counter() - start,
    )


def live_of(artifacts: ArtifactStore) -> Live:
    """Load the live deployment. What cannot be used is noted and passed over: training anew is the way to mend it."""
    try:
        version = artifacts.current()
        if version is None:
            return Live(None, None)
        notes: tuple[str, ...] = ()
        stands = artifacts.manifest(version).about.incremental
        if stands is not None and stands.full in artifacts.list_versions():  # it knows nearly all: nothing can judge it
            notes = (f"`live` is {stands.full}, the full training that the live deployment {version} rests on",)
            version = stands.full
        until = artifacts.manifest(version).about.last
        return Live(load(artifacts.open(version), version), until, notes)
    except (BadArtifact, FeaturesChanged, UnknownVersion) as err:
        return Live(None, None, (f"not compared with the live deployment: {err}",))
