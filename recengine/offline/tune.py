"""Choosing settings of one model: random search, and successive halving over what a trial costs.

Beside the offline spine. In: a `Part` whose targets come from the training side alone, and ranges. Out: `TuneReport`.
All of n drawn settings are tried on a small budget, the best third of them on three times as much, and so on up to the
whole (Jamieson and Talwalkar 2016; a bracket of Hyperband, Li et al. 2018). The budget is the epochs of models that
have some, else a share of the users. What is configured now is trial 0 and goes to the end, so that the answer is never
worse than it, on the part that was looked at.

A trial is a pure function of the seed and its number, and each that ends is a line of a file, so a search that was
stopped goes on where it was.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from recengine.config import DEFAULT_CANDIDATES, RANGES, Config, EventType, Tune
from recengine.durable import digest_of
from recengine.errors import BadUsage, ConfigInvalid, EmptyData, SourceUnreadable, TrainingFailed
from recengine.kernels import cores
from recengine.metrics.ranking import evaluate
from recengine.offline.build import Part, rows_of
from recengine.offline.choose import drawn, targets_of
from recengine.offline.rank import of_model
from recengine.offline.train import Progress, fit
from recengine.types import Interactions

__all__ = ("ETA", "Trial", "TuneReport", "run", "sampled")

T = TypeVar("T")

ETA = 3
"""One in so many goes on to so many times the budget."""
RUNGS = 3
"""So the smallest budget is a ninth: ALS' 16 epochs become 2."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """Some settings, tried on some budget."""

    trial: int
    budget: float
    """Share of the epochs, or of the users."""
    settings: dict[str, Any]
    score: float | None
    """`ndcg@at` on the validation part; None = it could not be trained."""
    seconds: float
    error: str = ""


class TuneReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found."""

    model: str
    kind: str
    metric: str
    trials: int
    fits: int
    """Trainings in all, of which `resumed` stood in the file."""
    resumed: int
    best: dict[str, Any]
    """What differs from the configuration; empty = nothing was better."""
    score: float
    configured: float
    """The score of the settings as configured."""
    users: int
    """Judged by, at the whole budget."""
    file: str
    seconds: float


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """First line of the file: what its trials belong to."""

    model: dict[str, Any]
    ranges: tuple[Tune, ...]
    event: tuple[EventType, ...]
    category: str
    data: str
    seed: int
    at: int
    max_users: int
    history_limit: int
    trials: int


def run(
    part: Part,
    config: Config,
    name: str,
    file: Path,
    *,
    trials: int = 27,
    resume: bool = False,
    progress: Progress | None = None,
) -> tuple[TuneReport, Config]:
    """Search settings of the `[[model]]` called `name`; returns the report, and `config` with the best ones.

    Parameters
    ----------
    part : what to learn from, and what to judge by. `training.at`, `seed`, `threads` and `max_users` hold.
    file : takes a line of JSON for each trial, as soon as it ended; must not exist, unless `resume`.
    trials : settings to try, what is configured included.
    progress : is told what is going on; raising from it, as Ctrl-C does, leaves what is done in `file`.

    Raises
    ------
    BadUsage : there is no such model, nothing to try, or `file` holds another search.
    EmptyData : the part has nothing to judge by.
    SourceUnreadable : `file` cannot be read.
    """
    start = time.perf_counter()
    number = _number(config, name, trials)
    model = config.model[number]
    tag = str(type(model).__struct_config__.tag)
    ranges = _ranges(config, name, tag)
    if len(part.targets.items) == 0:
        raise EmptyData("tune: nobody has an item to judge by", hint="ingest more events")
    head = _Head(
        model=msgspec.to_builtins(model),
        ranges=ranges,
        event=config.event,
        category=config.serving.category,
        data=_fingerprint(part),
        seed=config.training.seed,
        at=config.training.at,
        max_users=config.training.max_users,
        history_limit=config.serving.history_limit,
        trials=trials,
    )
    done = _known(file, head, resume=resume)
    resumed, fits = len(done), 0
    candidates = list(range(trials))
    budgets = _budgets(trials)
    total = sum(_kept(trials, rung) for rung in range(len(budgets)))
    for rung, budget in enumerate(budgets):
        scores: dict[int, float] = {}
        small = part if "epochs" in model.__struct_fields__ else _shared(part, budget, config.training.seed)
        for trial in candidates:
            if progress is not None:
                progress(f"tune {name}", min(fits, total), total)
            found = done.get((trial, budget))
            if found is None:
                settings = sampled(ranges, head.seed, trial, model)
                found = _tried(trial, budget, settings, small, config, number)
                _append(file, found)
            fits += 1
            if found.score is not None:
                scores[trial] = found.score
            done[trial, budget] = found
        if not scores:
            raise TrainingFailed(
                "tune: no trial could be trained: " + done[candidates[0], budget].error, hint="look at the ranges"
            )
        order = sorted(scores, key=lambda trial: (-scores[trial], trial))
        candidates = sorted({*order[: _kept(trials, rung + 1)], *({0} & scores.keys())})
    best = order[0]
    changed = done[best, 1.0].settings
    tuned = msgspec.convert(msgspec.to_builtins(model) | changed, type(model))
    report = TuneReport(
        model=name,
        kind=tag,
        metric=f"ndcg@{head.at}",
        trials=trials,
        fits=fits,
        resumed=resumed,
        best=changed,
        score=scores[best],
        configured=scores.get(0, float("nan")),
        users=len(_judges(part, config)),
        file=str(file),
        seconds=time.perf_counter() - start,
    )
    models = tuple(tuned if place == number else one for place, one in enumerate(config.model))
    return report, msgspec.structs.replace(config, model=models)


def sampled(ranges: tuple[Tune, ...], seed: int, trial: int, model: Any) -> dict[str, Any]:
    """Draw settings of one trial; trial 0 changes nothing."""
    if trial == 0:
        return {}
    rng = np.random.default_rng([seed, trial])
    return {tune.key: _value(tune, rng, model) for tune in ranges}


def _value(tune: Tune, rng: np.random.Generator, model: Any) -> Any:
    if tune.choices is not None:
        return tune.choices[int(rng.integers(len(tune.choices)))]
    low, high = float(tune.low or 0.0), float(tune.high or 0.0)
    share = float(rng.random())
    value = low * (high / low) ** share if tune.scale == "log" else low + (high - low) * share
    if isinstance(getattr(model, tune.key), int):
        return round(value)
    return float(f"{value:.4g}")  # as one would write it


def _number(config: Config, name: str, trials: int) -> int:
    names = [model.name for model in config.model]
    if name not in names:
        raise BadUsage(f"tune: there is no `[[model]]` {name!r}", hint=f"configured: {', '.join(names)}")
    if not 1 <= trials <= 10_000:
        raise BadUsage(f"tune: expected 1 to 10,000 trials, got {trials}")
    return names.index(name)


def _ranges(config: Config, name: str, kind: str) -> tuple[Tune, ...]:
    ours = tuple(tune for tune in config.tune if tune.model in {name, kind})
    ranges = ours or tuple(tune for tune in RANGES if tune.model == kind)
    if not ranges:
        raise BadUsage(f"tune: nothing of {name!r} can be tried", hint="`[[tune]]` in recengine.toml says what")
    return ranges


def _budgets(trials: int) -> tuple[float, ...]:
    """List the budgets, rising to 1; few trials are not worth a smaller one."""
    rungs = 1
    while rungs < RUNGS and trials >= ETA ** (rungs + 1):
        rungs += 1
    return tuple(1 / ETA**rung for rung in reversed(range(rungs)))


def _kept(trials: int, rung: int) -> int:
    """Count the trials of a rung."""
    return max(1, trials // int(ETA**rung))


def _tried(trial: int, budget: float, settings: Mapping[str, Any], part: Part, config: Config, number: int) -> Trial:
    start = time.perf_counter()
    model: Any = config.model[number]
    changes = dict(settings)
    if "epochs" in model.__struct_fields__:
        changes["epochs"] = max(1, round(changes.get("epochs", model.epochs) * budget))
    score, error = None, ""
    try:
        tried = msgspec.convert(msgspec.to_builtins(model) | changes | {"weight": 1.0}, type(model))
        alone = msgspec.structs.replace(config, model=(tried,), candidates=DEFAULT_CANDIDATES, tune=())
        users, at = _judges(part, config), config.training.at
        scorer = fit(part.data, alone)[0].members[0].scorer
        lists = of_model(scorer, part, users, at, config, threads=cores(config.training.threads))
        score = float(evaluate(lists, *targets_of(part.targets, users), at)["ndcg"].mean())
    except (TrainingFailed, EmptyData, ConfigInvalid, msgspec.ValidationError) as err:
        error = str(err)
    return Trial(
        trial=trial,
        budget=budget,
        settings=dict(settings),
        score=score,
        seconds=round(time.perf_counter() - start, 3),
        error=error,
    )


def _judges(part: Part, config: Config) -> Any:
    return drawn(part.targets.users, config.training.max_users, config.training.seed)


def _shared(part: Part, share: float, seed: int) -> Part:
    """Keep a share of the users, drawn with the seed; the others have done nothing, and rows keep their numbers."""
    old = part.data.interactions
    if share >= 1:
        return part
    kept = np.random.default_rng(seed).permutation(old.n_users) < max(1, round(share * old.n_users))
    lengths = np.diff(old.indptr)
    entries = np.repeat(kept, lengths)
    indptr = np.concatenate(([0], np.cumsum(np.where(kept, lengths, 0)))).astype(np.int64)
    values = None if old.values is None else old.values[entries]
    columns = (old.items[entries], old.weights[entries], old.times[entries], values)
    rows = Interactions(old.n_users, old.n_items, indptr, *columns)
    wanted = np.repeat(part.targets.users, np.diff(part.targets.indptr))
    mine = kept[wanted]
    targets = rows_of(wanted[mine], part.targets.items[mine], old.n_items)
    data = msgspec.structs.replace(part.data, interactions=rows)
    return msgspec.structs.replace(part, data=data, targets=targets)


def _fingerprint(part: Part) -> str:
    """Hash all that a trial learns from and is judged by; cost: one pass over it."""
    data, targets = part.data, part.targets
    rows = data.interactions
    arrays = [rows.indptr, rows.items, rows.weights, rows.times, rows.values]
    arrays += [targets.users, targets.indptr, targets.items]
    named: list[Any] = [data.as_of]
    for catalogue in (data.items, data.users):
        arrays += [catalogue.available, catalogue.since]
        for name, column in sorted(catalogue.columns.items()):
            named += [name, column.kind, column.labels]
            arrays += [column.data, column.indptr]
    return digest_of(msgspec.json.encode([named, [_hashed(array) for array in arrays]]))


def _hashed(array: Any) -> str | None:
    if array is None:
        return None
    texts = array.dtype == object
    return digest_of(msgspec.json.encode(array.tolist()) if texts else np.ascontiguousarray(array).tobytes())


def _known(file: Path, head: _Head, *, resume: bool) -> dict[tuple[int, float], Trial]:
    """Read the trials in `file`, or begin it; of what is no file of trials nothing is touched."""
    first = msgspec.json.encode(head, order="deterministic")
    try:
        if not file.exists():
            file.write_bytes(first + b"\n")
            return {}
        if not resume:
            raise BadUsage(f"{file}: is there already", hint="--resume goes on with it; --file names another one")
        *lines, torn = file.read_bytes().split(b"\n")  # what a crash left of a line; empty where there was none
        if lines:
            _of_search(file, lines[0], first)
            known = [_read(file, number, line, Trial) for number, line in enumerate(lines[1:], 2)]
        elif first.startswith(torn):
            lines, known = [first], []
        else:
            raise _damaged(file, 1)
        if torn or len(lines) == 1:
            file.write_bytes(b"".join(line + b"\n" for line in lines))
    except OSError as err:
        raise SourceUnreadable(f"{file}: {err}", hint="--file names another one") from err
    return {(trial.trial, trial.budget): trial for trial in known}


def _of_search(file: Path, line: bytes, first: bytes) -> None:
    """See that `line`, the first of `file`, is `first`, that of the search that asks."""
    if line == first:
        return
    found = _read(file, 1, line, dict[str, Any])
    if not {"model", "ranges", "data", "seed"} <= found.keys():
        raise _damaged(file, 1)
    asked = msgspec.json.decode(first)
    differ = [name for name in asked if found.get(name) != asked[name]] or ["how it is written"]
    what = f"{file}: is of another search; not the same: {', '.join(differ)}"
    raise BadUsage(what, hint="--file names another one")


def _read(file: Path, number: int, line: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise _damaged(file, number) from err


def _damaged(file: Path, number: int) -> SourceUnreadable:
    return SourceUnreadable(f"{file}, line {number}: not a trial file, or damaged", hint="--file names another one")


def _append(file: Path, trial: Trial) -> None:
    with file.open("ab") as opened:
        opened.write(msgspec.json.encode(trial) + b"\n")
