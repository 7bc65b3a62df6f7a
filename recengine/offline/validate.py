"""Fourth stage of the offline spine: may the candidate replace what is live.

In: the candidate, which learned from all but the test part, and the live deployment. Out: `ValidationReport`, and from
`gate` a `PassedReport`, the only thing that `deploy` takes: a report that has not passed cannot be deployed by mistake.

Rankings are over the whole catalogue, never over sampled negatives, which do not keep the order of systems (Krichene
and Rendle 2020). The live deployment is judged only where it has not learned from the test part, else the comparison
says nothing; `build.split(after=...)` holds out what came after it where there is enough.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import msgspec
import numpy as np

from recengine.config import Config
from recengine.errors import GateFailed
from recengine.kernels import cores
from recengine.metrics.beyond import coverage, gini, novelty
from recengine.metrics.ranking import evaluate, interval, mean, paired_difference
from recengine.offline import reliability
from recengine.offline.build import ENOUGH_USERS, Built, Part
from recengine.offline.choose import drawn, targets_of
from recengine.offline.pool import PoolReport, PoolTally
from recengine.offline.rank import blended, of_model
from recengine.offline.reliability import Reliability
from recengine.offline.train import Progress, Trained
from recengine.retrieval.deployment import Deployment
from recengine.types import F64, I32, Bools

__all__ = ("Comparison", "PassedReport", "System", "ValidationReport", "gate", "run")


class System(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of one ranking of the test users."""

    name: str
    """`candidate`, `popularity`, `live`, or the name of a model that ranks alone."""
    users: int
    metrics: dict[str, float | None]
    """Such as `ndcg@20`, means over users; `coverage@20` is the share of the catalogue shown, `gini@20` how unevenly,
    `novelty@20` in bits."""
    intervals: dict[str, tuple[float, float]] = {}
    """95 % bootstrap intervals of the means, for the candidate."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The candidate against one rival, on the same users."""

    rival: str
    metric: str
    users: int
    candidate: float
    other: float
    low: float
    """The 95 % interval of candidate - rival, paired by user."""
    high: float
    passed: bool
    verdict: str
    among: Literal["all", "cold"] = "all"
    """Over which test users: all, or those without a history."""


class ValidationReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the candidate does on the test part, over all its users."""

    at: int
    candidate: System
    models: tuple[System, ...]
    """Popularity, and each model alone."""
    live: System | None
    """What is live, where it can be judged by this test part."""
    warm: tuple[System, ...]
    """The same over the users who had a history."""
    cold: tuple[System, ...]
    """The same over the users who had none: the candidate, popularity and the live deployment."""
    comparisons: tuple[Comparison, ...]
    """What the gate looks at."""
    pool: PoolReport | None = None
    """What the candidate's pools hold of the test items, in all and by source."""
    reliability: tuple[Reliability, ...] = ()
    """What confidences are worth: of the candidate, then of each model."""
    notes: tuple[str, ...] = ()


class PassedReport(ValidationReport, frozen=True, kw_only=True):
    """A report that the gate let through; made by `gate` alone."""

    overruled: tuple[str, ...] = ()
    """What the gate would have refused and somebody forced."""


def run(
    built: Built,
    trained: Trained,
    config: Config,
    *,
    live: Deployment | None = None,
    until: int | None = None,
    notes: Sequence[str] = (),
    progress: Progress | None = None,
) -> ValidationReport:
    """Rank the catalogue for the test users: the candidate, each of its models alone, popularity, and what is live.

    `until` is the time of the last event that `live` has learned from. Users with later events before the cut are
    folded into it, as serving does, so that it is judged by what it would show them.
    """
    part, at, candidate = built.test, config.training.at, trained.deployment
    threads = cores(config.training.threads)
    users = drawn(part.targets.users, config.training.max_users, config.training.seed)
    notes = list(notes)
    if len(users) < len(part.targets.users):
        notes.append(f"{len(users)} of {len(part.targets.users)} test users, drawn with seed {config.training.seed}")
    pools = PoolTally(part.targets)
    rankings: dict[str, Callable[[], I32]] = {
        "candidate": lambda: blended(candidate, part, users, at, config, watch=pools.add, threads=threads),
        "popularity": lambda: of_model(candidate.popularity, part, users, at, config, threads=threads),
    }
    if live is not None:
        obstacle = _obstacle(live, until, part, len(users))
        if obstacle:
            notes.append(f"not compared with the live deployment: {obstacle}")
        else:
            changed = (part.last_seqs[users] > live.last_seq).astype(np.uint8)
            rankings["live"] = lambda: blended(live, part, users, at, config, changed=changed, threads=threads)
    for member in candidate.members:
        if member.scorer is not candidate.popularity:
            rankings[member.name] = partial(of_model, member.scorer, part, users, at, config, threads=threads)
    lists = {}
    for done, (name, ranking) in enumerate(rankings.items()):
        if progress is not None:
            progress(f"validate: {name}", done, len(rankings))
        lists[name] = ranking()
    wanted = targets_of(part.targets, users)
    values = {name: evaluate(items, *wanted, at) for name, items in lists.items()}
    warm = np.diff(part.data.interactions.indptr)[users] > 0
    everybody = ("candidate", "popularity", "live")
    comparisons = [_compare(n, values["candidate"], values[n], config) for n in everybody[1:] if n in lists]
    if (~warm).sum() >= ENOUGH_USERS:
        mine, theirs = ({m: v[~warm] for m, v in values[n].items()} for n in everybody[:2])
        comparisons.insert(1, _compare("popularity", mine, theirs, config, among="cold"))
    over_all = {n: _system(n, lists[n], values[n], np.ones(len(users), np.bool_), part, config) for n in lists}
    return ValidationReport(
        at=at,
        candidate=over_all["candidate"],
        models=tuple(system for name, system in over_all.items() if name not in {"candidate", "live"}),
        live=over_all.get("live"),
        warm=tuple(_system(name, lists[name], values[name], warm, part, config) for name in lists),
        cold=tuple(_system(n, lists[n], values[n], ~warm, part, config) for n in everybody if n in lists),
        comparisons=tuple(comparisons),
        pool=pools.report(),
        reliability=reliability.run(candidate, part, config, threads=threads),
        notes=tuple(notes),
    )


def gate(report: ValidationReport, *, force: bool = False) -> PassedReport:
    """Let the report pass, or say what it lost against; `force` notes that in the report instead.

    Raises
    ------
    GateFailed : by more than chance (the paired 95 % interval lies below 0) the candidate loses against popularity,
        over all users or over the cold ones where there are `ENOUGH_USERS`; or it loses more than
        `training.gate_tolerance` of the live deployment's metric.
    """
    lost = [c.verdict for c in report.comparisons if not c.passed]
    if lost and not force:
        raise GateFailed("; ".join(lost), hint="the live deployment stays; look at the report's models and data")
    found = {name: getattr(report, name) for name in ValidationReport.__struct_fields__}
    return PassedReport(**found, overruled=tuple(lost))


def _obstacle(live: Deployment, until: int | None, part: Part, users: int) -> str:
    """Say why the live deployment cannot be judged on `part`; empty where it can.

    Why the time as well: a deployment that was trained as of a moment may have learned from events beyond `last_seq`.
    """
    if live.last_seq >= part.first_seq or (until is not None and until >= part.first_time):
        return "it has learned from the test part"
    if users < ENOUGH_USERS:
        return f"there are {users} test users, {ENOUGH_USERS} are needed"
    return ""


def _system(name: str, items: I32, values: dict[str, F64], rows: Bools, part: Part, config: Config) -> System:
    """Average one ranking over the users in `rows`."""
    at = config.training.at
    old = part.data.interactions
    counts = np.bincount(old.items[old.weights > 0], minlength=old.n_items)
    own = {metric: value[rows] for metric, value in values.items()}
    bits = novelty(items[rows], counts)
    available = part.data.items.available
    whole = {"coverage": coverage(items[rows], available), "gini": gini(items[rows], available)}
    metrics = mean(own) | whole | mean({"novelty": bits})
    intervals = {m: interval(v, config.training.seed) for m, v in own.items()} if name == "candidate" else {}
    return System(
        name=name,
        users=int(rows.sum()),
        metrics={f"{m}@{at}": None if np.isnan(v) else v for m, v in metrics.items()},
        intervals={f"{m}@{at}": v for m, v in intervals.items() if not np.isnan(v[0])},
    )


def _compare(
    rival: str,
    candidate: dict[str, F64],
    other: dict[str, F64],
    config: Config,
    *,
    among: Literal["all", "cold"] = "all",
) -> Comparison:
    metric, tolerance = config.training.gate_metric, config.training.gate_tolerance
    mine, theirs = float(candidate[metric].mean()), float(other[metric].mean())
    difference = paired_difference(candidate[metric], other[metric], config.training.seed)
    label = f"{metric}@{config.training.at}"
    # Over few users a candidate as good as its rival is below it half of the time: a loss must also be beyond chance.
    by_chance = difference.high >= 0
    if rival == "popularity":
        passed = mine >= theirs or by_chance
        rule = "may be lower only by chance"
    else:
        passed = mine >= theirs * (1 - tolerance) or by_chance
        rule = f"may be lower by {tolerance:.0%}, or by chance"
    who = "users" if among == "all" else f"{among} users"
    verdict = (
        f"{label} {mine:.4f} against {theirs:.4f} of {rival}, over {len(candidate[metric])} {who}: "
        f"{'passed' if passed else 'lost'} ({rule}; difference {difference.low:+.4f} .. {difference.high:+.4f})"
    )
    return Comparison(
        rival=rival,
        metric=label,
        users=len(candidate[metric]),
        candidate=mine,
        other=theirs,
        low=difference.low,
        high=difference.high,
        passed=passed,
        verdict=verdict,
        among=among,
    )
