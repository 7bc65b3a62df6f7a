"""Third stage of the offline spine: `Built` -> a candidate deployment.

Every model is fitted up to three times: on what came before the validation part, to calibrate it and to weigh it in the
blend; on all that came before the test part (`run`), to be judged; and, once the gate has passed, on everything
(`final`), to serve. Why: the gate decides on models that have not seen what they are judged by, and users get models
that have seen the latest events. Calibrations and weights are carried over, because scores keep their scale.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import numpy as np

from recengine.algorithms.base import Scorer
from recengine.algorithms.calibration import Curve
from recengine.algorithms.demographic import Demographic
from recengine.algorithms.popularity import Popularity
from recengine.algorithms.registry import create
from recengine.config import Config, ModelConfig, NeuralCf
from recengine.config import Popularity as PopularityConfig
from recengine.errors import RecEngineError, TrainingFailed
from recengine.features.deployed import DeployedFeatures
from recengine.kernels import cores
from recengine.offline import neural
from recengine.offline.build import Built
from recengine.offline.choose import Choice, choose, with_choice
from recengine.offline.indexing import indexed
from recengine.retrieval.deployment import Deployment, Member, assemble
from recengine.types import TrainingData

__all__ = (
    "ModelReport",
    "Progress",
    "TrainReport",
    "Trained",
    "assembled",
    "failing_as",
    "final",
    "fit",
    "learned",
    "run",
)

Progress = Callable[[str, int, int], None]
"""`progress(what, done, total)`, called from the training thread; raising from it, as Ctrl-C does, ends it."""


class ModelReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one `[[model]]`."""

    name: str
    kind: str
    weight: float
    """Share in the blend; 0 = it is kept, and adds nothing to the order."""
    calibration: Curve
    """P(engaged | score)."""
    family: str
    """Of the calibration: `platt` or `beta`."""
    seconds: float
    """Of the fit that is judged."""


class TrainReport(msgspec.Struct, frozen=True, kw_only=True):
    """What training decided."""

    models: tuple[ModelReport, ...]
    blend_ndcg: float | None
    """Of the blend on the validation part; None where the weights were not tuned."""
    blend_users: int
    blend_trials: int
    seconds: float


class Trained(msgspec.Struct, frozen=True):
    """The candidate, which knows nothing of the test part, and how it was chosen."""

    deployment: Deployment
    choice: Choice
    report: TrainReport


def run(built: Built, config: Config, *, progress: Progress | None = None) -> Trained:
    """Fit, calibrate and weigh on the validation part, then fit the candidate on all but the test part.

    Raises
    ------
    EmptyData : there is nothing to learn from.
    TrainingFailed : a model could not be fitted; its name is in the message.
    """
    start = time.perf_counter()
    early, _ = fit(built.validation.data, config, progress=_labelled(progress, "choose"))
    choice = choose(early, built.validation, config, threads=cores(config.training.threads))
    del early
    fitted, seconds = fit(built.test.data, config, progress=_labelled(progress, "judge"))
    deployment = with_choice(fitted, choice)
    models = tuple(
        ModelReport(
            name=m.name,
            kind=m.scorer.kind,
            weight=m.weight,
            calibration=m.curve,
            family=m.curve.family,
            seconds=taken,
        )
        for m, taken in zip(deployment.members, seconds, strict=True)
    )
    report = TrainReport(
        models=models,
        blend_ndcg=None if np.isnan(choice.ndcg) else choice.ndcg,
        blend_users=choice.users,
        blend_trials=choice.trials,
        seconds=time.perf_counter() - start,
    )
    return Trained(deployment, choice, report)


def final(built: Built, choice: Choice, config: Config, *, progress: Progress | None = None) -> Deployment:
    """Fit on everything, with the calibrations and weights of `choice`: the deployment that serves.

    Raises
    ------
    TrainingFailed : as in `run`.
    """
    fitted, _ = fit(built.everything, config, last_seq=built.last_seq, progress=_labelled(progress, "serve"))
    return indexed(with_choice(fitted, choice), built.everything, config, progress=_of(progress, "serve: index"))


def fit(
    data: TrainingData, config: Config, *, last_seq: int = 0, progress: Progress | None = None
) -> tuple[Deployment, tuple[float, ...]]:
    """Fit every `[[model]]` and what the sources need; returns the uncalibrated deployment and each model's seconds.

    Raises
    ------
    EmptyData, TrainingFailed : as in `run`.
    """
    members = []
    seconds = []
    for model in config.model:
        start = time.perf_counter()
        members.append(Member(_fitted(model, data, config, progress), Curve(), model.weight))
        seconds.append(time.perf_counter() - start)
    return assembled(tuple(members), data, config, last_seq=last_seq), tuple(seconds)


def assembled(
    members: tuple[Member, ...],
    data: TrainingData,
    config: Config,
    *,
    last_seq: int,
    features: DeployedFeatures | None = None,
    curve: Curve = Curve(),  # noqa: B008 - frozen
) -> Deployment:
    """Put a deployment of fitted members together, with what the sources need beside them, counted on `data`."""
    category = config.serving.category
    popularity = next((m.scorer for m in members if isinstance(m.scorer, Popularity)), None)
    return assemble(
        "",
        members,
        popularity or Popularity(PopularityConfig()).fit(data, category=category),
        Demographic().fit(data, config.serving.demographics) if data.users.columns else None,
        n_users=data.users.n,
        n_items=data.items.n,
        last_seq=last_seq,
        features=features,
        curve=curve,
    )


def learned(
    model: ModelConfig,
    data: TrainingData,
    *,
    seed: int,
    threads: int,
    progress: Callable[[int, int], None] | None = None,
    category: str = "category",
) -> Scorer:
    """Fit one model: by itself, or where its training needs PyTorch by `neural`.

    Raises
    ------
    EmptyData, TrainingFailed : as in `run`.
    """
    if isinstance(model, NeuralCf):
        return neural.fit(model, data, seed=seed, threads=cores(threads), progress=progress)
    scorer: Scorer = create(model)
    if isinstance(scorer, Popularity):
        scorer.fit(data, seed=seed, threads=threads, progress=progress, category=category)
    else:
        scorer.fit(data, seed=seed, threads=threads, progress=progress)  # type: ignore[attr-defined]
    return scorer


def _fitted(model: ModelConfig, data: TrainingData, config: Config, progress: Progress | None) -> Scorer:
    name = model.name
    seed, threads = config.training.seed, config.training.threads

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(name, done, total)

    report(0, 1)
    with failing_as(name, "check its settings in recengine.toml"):
        scorer = learned(model, data, seed=seed, threads=threads, progress=report, category=config.serving.category)
    report(1, 1)
    return scorer


@contextmanager
def failing_as(name: str, hint: str) -> Iterator[None]:
    """Say of what learning raises which model it was; our own errors say so by themselves.

    Raises
    ------
    TrainingFailed : numbers, shapes or memory failed inside.
    """
    try:
        yield
    except RecEngineError:
        raise
    except (ArithmeticError, ValueError, IndexError, MemoryError) as err:
        raise TrainingFailed(f"model {name!r}: {err}", hint=hint) from err


def _labelled(progress: Progress | None, goal: str) -> Progress | None:
    if progress is None:
        return None
    return lambda what, done, total: progress(f"{goal}: {what}", done, total)


def _of(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(what, done, total)
