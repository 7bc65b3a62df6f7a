"""The scientist's door: published protocols over files, without a data directory.

In: a training and a test file, or one ordered log. Out: metrics over the whole catalogue, never sampled, and the cost.

- Split: learn from T; for every user of S rank all items of T and S that are not in the user's T.
- Leave-one-out: of each user's ordered log the last item is the test; all before it is learned from and left out of the
  ranking. Users with one item are learned from and not judged.
- Cold users (`cold-users`): a share of the users is held out whole, and judged by all that they engaged with; only
  their attributes are known. Popularity stands beside, and the difference to it, paired by user.

recall = hits / |test items|; ndcg's ideal runs over min(k, |test items|). `default` is the engine as a user gets it:
all models, calibrated and weighed on a held-out part of the training side alone (leave-one-out: the item before the
last), then fitted on the whole training side.
"""

import resource
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from recengine.algorithms.popularity import Popularity
from recengine.config import Config, ModelConfig
from recengine.config import Popularity as PopularityConfig
from recengine.errors import ConfigInvalid
from recengine.jobs.cold_users import cold_users
from recengine.jobs.protocols import Task, leave_one_out, split, undivided, validation_part
from recengine.jobs.ratings import evaluate_ratings
from recengine.jobs.settings import engine_settings, model_settings
from recengine.kernels import cores
from recengine.metrics.beyond import coverage, gini, novelty
from recengine.metrics.ranking import evaluate, mean, paired_difference
from recengine.offline.build import Part
from recengine.offline.choose import choose, with_choice
from recengine.offline.pool import PoolTally
from recengine.offline.rank import blended, of_model
from recengine.offline.train import Progress, fit, learned
from recengine.types import I32

__all__ = ("DEFAULT", "PROTOCOLS", "evaluate_log", "evaluate_split")

DEFAULT = "default"
"""The algorithm name that means the whole engine."""
PROTOCOLS = ("leave-one-out", "cold-users", "ratings")
"""Of `evaluate_log`."""


def evaluate_split(
    train: object,
    test: object,
    columns: Mapping[str, str],
    algorithm: str,
    settings: Mapping[str, Any] | None = None,
    *,
    at: int = 20,
    seed: int = 0,
    threads: int = 0,
    config: Config | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Learn from `train`, judge by `test`.

    Parameters
    ----------
    train, test : paths, globs or frames.
    columns : role -> column: `user`, `item`, and maybe `order`, `value`, `type`.
    algorithm : a kind of `[[model]]`, or `default`.
    settings : such as `{"factors": 128}`, for `default` such as `{"als.factors": 128}`; values may be text.
    at : the cut-off k.
    threads : 0 = all cores.
    config : event types, and for `default` the models.

    Returns
    -------
    `algorithm`, `params`, `users`, `metrics` such as `{"recall@20": ...}`, `fit_seconds`, `recommend_seconds` and
    `peak_rss_mb`; for `default` also `weights`, the blend that was chosen, and `pool`, what the candidates hold of the
    test items.

    Raises
    ------
    ConfigInvalid : there is no such algorithm or setting, or `at`, `seed` or `threads` is out of range.
    SourceUnreadable, BadColumn, EmptyData : a side cannot be used.
    """
    config = _config(config, at, seed, threads)
    asked = _asked(algorithm, settings or {}, config)  # before any file is read
    task = split(train, test, columns, config.event)
    return _evaluate(task, algorithm, asked, config, last_only=False, progress=progress)


def evaluate_log(
    log: object,
    columns: Mapping[str, str],
    algorithm: str,
    settings: Mapping[str, Any] | None = None,
    *,
    protocol: str = "leave-one-out",
    users: object = None,
    items: object = None,
    share: float = 0.2,
    at: int = 20,
    seed: int = 0,
    threads: int = 0,
    config: Config | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Learn from and judge by one ordered log; parameters, result and errors as in `evaluate_split`.

    Parameters
    ----------
    users, items : for `cold-users`, what describes the users and the items of the log.
    share : for `cold-users`, of the users that are held out.

    Returns
    -------
    for `cold-users` also `popularity`, its metrics for the same users, and `differences` of the two: a mean and its
    95 % interval, paired by user.
    """
    if protocol not in PROTOCOLS:
        raise ConfigInvalid(f"no protocol {protocol!r}", hint=f"known: {', '.join(PROTOCOLS)}")
    config = _config(config, at, seed, threads)
    asked = _asked(algorithm, settings or {}, config)
    if protocol == "ratings":
        return evaluate_ratings(undivided(log, columns, config.event), asked, config)
    if protocol == "cold-users":
        task = cold_users(log, users, items, columns, config.event, share=share, seed=seed)
        return _evaluate(task, algorithm, asked, config, last_only=False, rival=True, progress=progress)
    if users is not None or items is not None:
        hint = "users and items go with cold-users"
        raise ConfigInvalid(f"{protocol}: knows users and items by the log alone", hint=hint)
    task = leave_one_out(log, columns, config.event)
    return _evaluate(task, algorithm, asked, config, last_only=True, progress=progress)


def _config(config: Config | None, at: int, seed: int, threads: int) -> Config:
    """Put the arguments into the configuration, which checks their ranges."""
    arguments = {"training.at": at, "training.seed": seed, "training.threads": threads}
    return engine_settings(config or Config(), arguments)


def _asked(algorithm: str, settings: Mapping[str, Any], config: Config) -> Config | ModelConfig:
    """Return the configuration of the whole engine, or of the one algorithm."""
    return engine_settings(config, settings) if algorithm == DEFAULT else model_settings(algorithm, settings)


def _evaluate(
    task: Task,
    algorithm: str,
    asked: Config | ModelConfig,
    config: Config,
    *,
    last_only: bool,
    rival: bool = False,
    progress: Progress | None,
) -> dict[str, Any]:
    judged = task.part()
    start = time.perf_counter()
    answer: dict[str, Any] = {"algorithm": algorithm, "params": msgspec.to_builtins(asked)}
    if isinstance(asked, Config):
        config = asked
        rank = _engine(task, judged, config, answer, last_only=last_only, progress=progress)
    else:
        rank = _single(asked, judged, config, progress)
    fitted = time.perf_counter()
    lists = rank(judged.targets.users)
    done = time.perf_counter()
    answer |= {
        "users": len(judged.targets.users),
        "metrics": _metrics(lists, judged, config.training.at),
        "fit_seconds": fitted - start,
        "recommend_seconds": done - fitted,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if rival:
        answer |= _against_popularity(lists, judged, config)
    return answer


def _against_popularity(lists: I32, judged: Part, config: Config) -> dict[str, Any]:
    """Rank the same users by popularity alone, and compare."""
    at, seed, targets = config.training.at, config.training.seed, judged.targets
    model = Popularity(PopularityConfig()).fit(judged.data, category=config.serving.category)
    other = of_model(model, judged, targets.users, at, config, threads=cores(config.training.threads))
    mine, theirs = (evaluate(found, targets.indptr, targets.items, at) for found in (lists, other))
    gaps = {name: paired_difference(mine[name], theirs[name], seed) for name in mine}
    return {
        "popularity": _metrics(other, judged, at),
        "differences": {f"{name}@{at}": tuple(gap) for name, gap in gaps.items()},
    }


def _single(model: Any, judged: Part, config: Config, progress: Progress | None) -> Callable[[I32], I32]:
    threads = cores(config.training.threads)

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(model.name, done, total)

    scorer = learned(model, judged.data, seed=config.training.seed, threads=threads, progress=report)
    return lambda users: of_model(scorer, judged, users, config.training.at, config, threads=threads)


def _engine(
    task: Task, judged: Part, config: Config, answer: dict[str, Any], *, last_only: bool, progress: Progress | None
) -> Callable[[I32], I32]:
    training = config.training
    threads = cores(training.threads)
    choosing = validation_part(task, last_only=last_only, share=training.validation_share, seed=training.seed)
    early, _ = fit(choosing.data, config, progress=progress)
    choice = choose(early, choosing, config, threads=threads)
    del early
    deployment = with_choice(fit(judged.data, config, progress=progress)[0], choice)
    answer["weights"] = {member.name: member.weight for member in deployment.members}
    pools = PoolTally(judged.targets)

    def rank(users: I32) -> I32:
        lists = blended(deployment, judged, users, training.at, config, watch=pools.add, threads=threads)
        answer["pool"] = pools.report()
        return lists

    return rank


def _metrics(lists: I32, judged: Part, at: int) -> dict[str, float]:
    old = judged.data.interactions
    counts = np.bincount(old.items[old.weights > 0], minlength=old.n_items)
    values = mean(evaluate(lists, judged.targets.indptr, judged.targets.items, at))
    available = judged.data.items.available
    values |= {"coverage": coverage(lists, available), "gini": gini(lists, available)}
    values |= mean({"novelty": novelty(lists, counts)})
    return {f"{name}@{at}": value for name, value in values.items()}
