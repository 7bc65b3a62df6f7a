"""Last stage of the offline spine: a passed report and the deployment it speaks for -> the live version.

The version is written whole before the pointer moves, in one rename; until then the old one answers. Removing old ones
comes after it, so a failure there is a note in the report: an error would say that nothing went live.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from recengine.artifacts.manifest import About, Stands
from recengine.artifacts.store import ArtifactStore
from recengine.config import Config
from recengine.durable import digest_of
from recengine.errors import GateFailed, RecEngineError
from recengine.offline.build import BuildReport
from recengine.offline.continuity import PassedContinuity
from recengine.offline.validate import PassedReport
from recengine.retrieval.deployment import Deployment, save

__all__ = ("DeployReport", "Extent", "fingerprint", "run")


class Extent(NamedTuple):
    """What was learned from: how many events, from when to when."""

    events: int
    first: int
    last: int


class DeployReport(msgspec.Struct, frozen=True, kw_only=True):
    """What went live."""

    version: str
    previous: str | None
    bytes: int
    removed: tuple[str, ...] = ()
    """Old versions beyond `training.keep_versions`."""
    notes: tuple[str, ...] = ()
    """What went wrong after the version went live."""


def run(
    passed: PassedReport | PassedContinuity,
    deployment: Deployment,
    artifacts: ArtifactStore,
    config: Config,
    *,
    data: BuildReport | Extent,
    stands: Stands | None = None,
) -> DeployReport:
    """Write `deployment` as a new version and make it live; `stands` is what an increment rests on.

    Raises
    ------
    GateFailed : `passed` is a report that has not passed.
    """
    if not isinstance(passed, PassedReport | PassedContinuity):
        raise GateFailed(f"only a passed report can be deployed, got {type(passed).__name__}", hint="call `gate` first")
    previous = artifacts.current()
    about = About(
        models=tuple(_configuration(m.scorer.config) for m in deployment.members),
        weights={m.name: m.weight for m in deployment.members},
        n_users=deployment.n_users,
        n_items=deployment.n_items,
        events=data.events,
        first=data.first,
        last=data.last,
        last_seq=deployment.last_seq,
        seed=config.training.seed,
        metrics=_metrics(passed),
        settings=fingerprint(config),
        incremental=stands,
    )
    version = artifacts.publish(lambda folder: save(deployment, folder), about)
    size = sum(record.size for record in artifacts.manifest(version).files.values())
    artifacts.promote(version, sealed=True)  # whoever loads it verifies it
    removed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    try:
        removed = artifacts.prune(config.training.keep_versions)
    except (OSError, RecEngineError) as err:
        notes = (f"{version} is live, but old versions could not be removed: {err}",)
    return DeployReport(version=version, previous=previous, bytes=size, removed=removed, notes=notes)


def fingerprint(config: Config) -> str:
    """Hash what models and features are made with: two deployments with the same one can be continued alike."""
    serving = config.serving
    rested = (config.event, config.model, config.features, config.feature, serving.category, serving.demographics)
    return digest_of(msgspec.json.encode(rested, order="deterministic"))


def _metrics(passed: PassedReport | PassedContinuity) -> dict[str, float]:
    if isinstance(passed, PassedContinuity):
        return {f"overlap@{passed.at}": passed.overlap}
    return {name: value for name, value in passed.candidate.metrics.items() if value is not None}


def _configuration(config: Any) -> Mapping[str, Any]:
    settings: Mapping[str, Any] = msgspec.to_builtins(config)
    return settings
