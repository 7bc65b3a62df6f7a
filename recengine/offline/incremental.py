"""An increment: what is new since the live deployment, folded into its models; the short way beside `cycle.py`.

In: the live deployment, all that may be learned now (the fold holds it in memory), and the store for what is new. Out:
the next live version. Models that know how (`Incremental`) learn the changed users and items; popularity and
demographic groups are counted anew. Everything else is that of the live deployment, and the report says so: models that
only a full training can teach, calibrations, blend weights, features. In place of the gate stands `continuity.py`.

Why a bound on increments: rows that did not change stay as they were when everything around them moves, and nobody has
judged the result on held-out events since. `training.full_every` and `full_share` say when it is time.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np

from recengine.algorithms.base import Incremental, Scorer
from recengine.algorithms.popularity import Popularity
from recengine.artifacts.manifest import About, Stands
from recengine.artifacts.store import ArtifactStore
from recengine.config import Config
from recengine.errors import FullTrainNeeded
from recengine.kernels import cores
from recengine.offline import continuity, deploy
from recengine.offline.build import where
from recengine.offline.continuity import PassedContinuity
from recengine.offline.deploy import DeployReport, Extent, fingerprint
from recengine.offline.indexing import as_configured, carried
from recengine.offline.train import Progress, assembled, failing_as
from recengine.retrieval.deployment import Deployment, Member
from recengine.store.database import Database
from recengine.store.events import read_events, repeated_events
from recengine.types import I32, NO_TIME, EventColumns, TrainingData

__all__ = ("CARRIED", "IncrementalReport", "ModelUpdate", "run", "update")

CARRIED = ("validation", "calibrations", "blend weights", "features")
"""What an increment does not do: they are those of the live deployment."""


_WAITS = "`[index]` is not as the live deployment has it: it waits for the next training, or for new events"


class ModelUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one `[[model]]`."""

    name: str
    kind: str
    updated: bool
    """False = it stays as it was until the next full training: its kind cannot learn in steps."""
    seconds: float


class IncrementalReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an increment did."""

    version: str
    """The live version; the same as before where nothing was new."""
    full: str
    """The full training that it rests on."""
    increments: int
    """Since then, this one included."""
    events: int
    """New ones."""
    users: int
    """With new events."""
    items: int
    new_users: int
    new_items: int
    models: tuple[ModelUpdate, ...] = ()
    carried: tuple[str, ...] = CARRIED
    """Not done anew: as the live deployment had it."""
    continuity: PassedContinuity | None = None
    deploy: DeployReport | None = None
    """None = nothing was new, and nothing was written."""
    notes: tuple[str, ...] = ()
    seconds: float


def run(
    database: Database,
    artifacts: ArtifactStore,
    config: Config,
    live: Deployment,
    data: TrainingData,
    last_event: int,
    *,
    progress: Progress | None = None,
) -> IncrementalReport:
    """Fold into `live` what came after it, and make that live.

    Parameters
    ----------
    live : the live deployment.
    data : all that may be learned, up to the event with the number `last_event`; the store holds all of it.
    progress : is told what is going on, from this thread; raising from it, as Ctrl-C does, leaves `live` in force.

    Raises
    ------
    FullTrainNeeded : the configuration is another one, or the bound on increments is reached.
    TrainingFailed : a model could not be updated.
    GateFailed : the result is not like the live deployment.

    Cost: new events are read; the rest is as `Incremental.update` of the models says, passes over the entries, and
    writing the version.
    """
    start = time.perf_counter()
    about = artifacts.manifest(live.version).about
    _same(about, config)
    fresh = _fresh(database, live.last_seq, last_event)
    users, items = (np.unique(column).astype(np.int32) for column in (fresh.user, fresh.item))
    stood = about.incremental
    full = stood.full if stood is not None else live.version
    events = about.events + len(fresh.seq)
    done = stood.increments if stood is not None else 0
    told = IncrementalReport(
        version=live.version,
        full=full,
        increments=done,
        events=len(fresh.seq),
        users=len(users),
        items=len(items),
        new_users=data.users.n - live.n_users,
        new_items=data.items.n - live.n_items,
        seconds=0.0,
    )
    if not (told.events or told.new_users or told.new_items):
        notes = () if as_configured(live, config) else (_WAITS,)
        return msgspec.structs.replace(told, notes=notes, seconds=time.perf_counter() - start)
    full_events = stood.full_events if stood is not None else about.events
    _bounded(config, done, events - full_events, full_events)

    updated, models = update(live, data, users, items, config, last_seq=last_event, progress=progress)
    if progress is not None:
        progress("compare", 0, 1)
    passed = continuity.gate(continuity.run(live, updated, data, users, config))  # or raise
    stands = Stands(
        full=full,
        full_events=full_events,
        previous=live.version,
        increments=done + 1,
        updated=tuple(model.name for model in models if model.updated),
    )
    extent = Extent(events, *_span(about, fresh))
    deployed = deploy.run(passed, updated, artifacts, config, data=extent, stands=stands)
    return msgspec.structs.replace(
        told,
        version=deployed.version,
        increments=done + 1,
        models=models,
        continuity=passed,
        deploy=deployed,
        seconds=time.perf_counter() - start,
    )


def update(
    live: Deployment,
    data: TrainingData,
    users: I32,
    items: I32,
    config: Config,
    *,
    last_seq: int,
    progress: Progress | None = None,
) -> tuple[Deployment, tuple[ModelUpdate, ...]]:
    """Make of `live` the deployment that knows `data`, in which `users` and `items` (int32, ascending) have changed.

    Raises
    ------
    TrainingFailed : a model could not be updated; its name is in the message.
    """
    team = cores(config.training.threads)
    workers = min(team, len(live.members))
    members, models = [], []
    pool = ThreadPoolExecutor(workers, thread_name_prefix="recengine-update")  # most of a model's time is on one thread
    try:
        waiting = [
            pool.submit(_updated, member, data, users, items, config, max(1, team // workers))
            for member in live.members
        ]
        for number, (member, future) in enumerate(zip(live.members, waiting, strict=True)):
            if progress is not None:
                progress("update", number, len(live.members))
            scorer, seconds = future.result()
            members.append(msgspec.structs.replace(member, scorer=scorer))
            models.append(
                ModelUpdate(name=member.name, kind=scorer.kind, updated=scorer is not member.scorer, seconds=seconds)
            )
    finally:
        pool.shutdown(cancel_futures=True)
    deployment = assembled(tuple(members), data, config, last_seq=last_seq, features=live.features, curve=live.curve)
    lacking = data.items.n - len(deployment.vectors)  # a model that stays knows none of the new items
    if lacking > 0:
        blank = np.zeros((lacking, deployment.vectors.shape[1]), np.float32)
        deployment = msgspec.structs.replace(deployment, vectors=np.concatenate((deployment.vectors, blank)))
    return carried(deployment, live, data, config), tuple(models)


def _updated(
    member: Member, data: TrainingData, users: I32, items: I32, config: Config, threads: int
) -> tuple[Scorer, float]:
    """Return the member's model as it knows `data`, the same one where it cannot learn in steps, and the seconds."""
    start = time.perf_counter()
    scorer: Scorer = member.scorer
    if isinstance(scorer, Incremental):
        with failing_as(member.name, "train in full"):
            if isinstance(scorer, Popularity):
                scorer = scorer.update(data, users, items, threads=threads, category=config.serving.category)
            else:
                scorer = scorer.update(data, users, items, threads=threads)
    return scorer, time.perf_counter() - start


def _same(about: About, config: Config) -> None:
    """See that the live deployment was made with this configuration.

    Raises
    ------
    FullTrainNeeded : it was not.
    """
    if about.settings == fingerprint(config):
        return
    were = {str(model["name"]): dict(model) for model in about.models}
    now = {model.name: msgspec.to_builtins(model) for model in config.model}
    differ = sorted(name for name in were.keys() | now.keys() if were.get(name) != now.get(name))
    what = f"`[[model]]` {', '.join(differ)}" if differ else "what models and features are made of"
    raise FullTrainNeeded(f"{what}: not as when the live deployment was trained", hint="run `recengine train DIR`")


def _bounded(config: Config, done: int, new: int, full_events: int) -> None:
    """See that one more increment is within the bound.

    Raises
    ------
    FullTrainNeeded : it is not.
    """
    settings = config.training
    if done >= settings.full_every:
        what = f"{done} increments rest on the last full training, `training.full_every` allows {settings.full_every}"
    elif new > settings.full_share * full_events:
        share = f"`training.full_share` allows {settings.full_share:g} of the {full_events} it learned from"
        what = f"{new} events came since the last full training, {share}"
    else:
        return
    raise FullTrainNeeded(what, hint="run `recengine train DIR`")


def _fresh(database: Database, after: int, until: int) -> EventColumns:
    """Read the events with numbers in after + 1 .. until; an id that came again counts once."""
    events = read_events(database, after=after)
    kept = np.asarray(events.seq <= until)
    if len(events.seq):
        kept &= ~np.isin(events.seq, repeated_events(database))
    return where(events, kept)


def _span(about: About, fresh: EventColumns) -> tuple[int, int]:
    """Return the first and the last time that was learned from."""
    times = [*fresh.time[fresh.time != NO_TIME].tolist(), *(t for t in (about.first, about.last) if t is not None)]
    return (min(times), max(times)) if times else (0, 0)
