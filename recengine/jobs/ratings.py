"""`recengine evaluate --protocol ratings`: how well ratings are predicted, and how well without any factors.

In: one log with a value column. A tenth of its rated pairs, drawn by the seed, is held out; the rest is learned from.
Out: RMSE and MAE of the model beside two that know less: the mean of all ratings, and the mean with a bias of each user
and item (Koren, Bell, Volinsky 2009, eq. 3, by ridge). Of a pair that is rated twice the latest rating counts.

Why every rating weighs 1 here: a neutral one says nothing about liking, but it is a rating to be predicted.
"""

import resource
import time
from typing import Any

import msgspec
import numpy as np

from recengine.algorithms.funk_svd import FunkSvd
from recengine.config import Config
from recengine.config import FunkSvd as FunkConfig
from recengine.errors import ConfigInvalid, EmptyData
from recengine.features.interaction import interactions
from recengine.jobs.protocols import Task
from recengine.kernels import cores
from recengine.metrics.ratings import mae, rmse
from recengine.offline.build import where
from recengine.types import F32, F64, I32, Bools, Catalogue, Interactions, Query, TrainingData

__all__ = ("evaluate_ratings",)

HELD = 0.1
"""Share of the rated pairs that is held out."""
DAMPING = 5.0
"""A bias is shrunk as if so many ratings more had been average."""
SWEEPS = 20


def evaluate_ratings(task: Task, asked: object, config: Config) -> dict[str, Any]:
    """Hold ratings out, learn from the others, and compare.

    Returns
    -------
    What `evaluate_log` returns, with `metrics` such as `{"rmse": ...}` and, beside it, `global_mean` and `biases`.

    Raises
    ------
    ConfigInvalid : the algorithm predicts no ratings.
    EmptyData : the log has fewer than two rated pairs.
    """
    if not isinstance(asked, FunkConfig):
        raise ConfigInvalid("ratings: only funk_svd predicts ratings", hint="--algorithm funk_svd")
    seed, threads = config.training.seed, cores(config.training.threads)
    rows = _rated(task)
    if len(rows.items) < 2:
        raise EmptyData("log: fewer than two rated pairs", hint="map a column: --columns value=rating")
    held = np.zeros(len(rows.items), np.bool_)
    held[np.random.default_rng(seed).permutation(len(held))[: max(1, int(len(held) * HELD))]] = True
    start = time.perf_counter()
    data = _without(rows, held, task)
    model = FunkSvd(asked).fit(data, seed=seed, threads=threads)
    fitted = time.perf_counter()
    user = np.repeat(np.arange(rows.n_users, dtype=np.int32), np.diff(rows.indptr))
    users, items, given = user[held], rows.items[held], _values(rows)[held]
    found = _predicted(model, data.interactions, users, items, threads)
    done = time.perf_counter()
    known, rated = user[~held], _values(rows)[~held]
    mean, of_user, of_item = _biases(known, rows.items[~held], rated, rows)
    lowest, highest = np.float32(rated.min()), np.float32(rated.max())
    plain = np.clip((mean + of_user[users] + of_item[items]).astype(np.float32), lowest, highest)
    beside = {"global_mean": np.full(len(given), mean, np.float32), "biases": plain}
    return {
        "algorithm": FunkSvd.kind,
        "params": msgspec.to_builtins(asked),
        "users": len(np.unique(users)),
        "ratings": len(given),
        "metrics": _errors(found, given),
        **{name: _errors(values, given) for name, values in beside.items()},
        "fit_seconds": fitted - start,
        "recommend_seconds": done - fitted,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _errors(predicted: F32, given: F32) -> dict[str, float]:
    return {"rmse": rmse(predicted, given), "mae": mae(predicted, given)}


def _rated(task: Task) -> Interactions:
    """Make one entry of every rated pair."""
    events = where(task.events, ~np.isnan(task.events.value))
    ones = np.ones(len(events.seq), np.float32)
    return interactions(events, ones, task.n_users, task.n_items, events.value)


def _values(rows: Interactions) -> F32:
    return np.zeros(0, np.float32) if rows.values is None else rows.values


def _without(rows: Interactions, held: Bools, task: Task) -> TrainingData:
    kept = ~held
    counts = np.concatenate(([0], np.cumsum(kept)))[rows.indptr].astype(np.int64)
    columns = rows.items[kept], rows.weights[kept], rows.times[kept], _values(rows)[kept]
    left = Interactions(rows.n_users, rows.n_items, counts, *columns)
    users, items = (Catalogue(n, {}, np.ones(n, np.uint8), np.zeros(n, np.int64)) for n in (rows.n_users, rows.n_items))
    return TrainingData(left, items, users, int(task.events.time.max()))


def _predicted(model: FunkSvd, rows: Interactions, users: I32, items: I32, threads: int) -> F32:
    """Ask for one item of each user after the other; `users` ascend."""
    indptr = np.concatenate(([0], np.cumsum(np.bincount(users, minlength=rows.n_users)))).astype(np.int64)
    everyone = np.arange(rows.n_users, dtype=np.int32)
    return model.predict(Query(everyone, rows, np.zeros(rows.n_users, np.uint8), 0), indptr, items, threads=threads)


def _biases(users: I32, items: I32, values: F32, rows: Interactions) -> tuple[float, F64, F64]:
    """Fit mean + b_u + b_i, in turns."""
    mean = float(values.mean(dtype=np.float64))
    of_user, of_item = np.zeros(rows.n_users), np.zeros(rows.n_items)
    for _ in range(SWEEPS):
        for side, other, mine, theirs in ((of_item, of_user, items, users), (of_user, of_item, users, items)):
            left = np.bincount(mine, values - mean - other[theirs], minlength=len(side))
            side[:] = left / (np.bincount(mine, minlength=len(side)) + DAMPING)
    return mean, of_user, of_item
