"""What training decides on the validation part: the calibration of every model, and how much each counts in the blend.

In: a deployment fitted on what came before the validation part. Out: `Choice`, a curve and a weight a model, and a
curve of the blend; they hold for the models that are fitted anew on more data afterwards, because the scores keep their
scale.

Why a search and not a regression: the goal is the order of the top, which a pointwise loss hardly sees. It climbs NDCG
over the simplex of weights, on the lists as they would be served (the real candidate pools, arranged for variety), from
the configured weights, from each model alone and from equal shares; so on the validation part what is served is never
worse than by any of those.
"""

import itertools
from collections.abc import Sequence

import msgspec
import numpy as np

from recengine.algorithms.calibration import Curve, calibrate, sample
from recengine.config import Config
from recengine.metrics.ranking import evaluate
from recengine.offline.build import ENOUGH_USERS, Part, Rows, eligible, query, take
from recengine.offline.rank import batches, scored, served
from recengine.retrieval.deployment import Deployment, Member
from recengine.retrieval.matrix import column, pooled
from recengine.retrieval.sources import Orders, declared
from recengine.types import F32, F64, I32, I64, Bools, Pool

__all__ = (
    "Choice",
    "Pairs",
    "calibrating",
    "choose",
    "drawn",
    "drawn_pairs",
    "reporting",
    "targets_of",
    "weigh",
    "with_choice",
)

CALIBRATION_USERS = 5_000
"""Two to five numbers a model are learned; more users do not change them."""
TUNING_ROWS = 2_000_000
"""Candidates (users x pool) that the search looks at; one trial costs about 50 ms for so many."""
POPULAR_SHARE = 0.01
"""Least share of popularity: it alone scores users and items that nothing was learned of. A validation part with few of
them would give it none, and a deployment is judged and serves for long after."""
STEPS = (0.2, 0.1, 0.05)
"""Shares that the search moves from one model to another."""


class Choice(msgspec.Struct, frozen=True):
    """One calibration and one weight a model, in the order of the configuration."""

    calibrations: tuple[Curve, ...]
    weights: tuple[float, ...]
    blend: Curve
    """Of the blend's pooled log-odds."""
    ndcg: float
    """Of the blend, on the validation part; NaN where the weights were not tuned."""
    users: int
    trials: int


def choose(deployment: Deployment, part: Part, config: Config, *, threads: int = 1) -> Choice:
    """Calibrate and weigh the models of `deployment`, which has learned from `part.data`."""
    pairs = drawn_pairs(deployment, part, calibrating(part.targets.users, config), config, threads=threads)
    calibrations = tuple(pairs.curve(column) for column in pairs.scores.T)
    choice = Choice(calibrations, tuple(m.weight for m in deployment.members), Curve(), float("nan"), 0, 0)
    if config.training.tune_blend and len(deployment.members) > 1:
        choice = weigh(with_choice(deployment, choice), part, choice, config, threads=threads)
    curve = pairs.curve(pooled(with_choice(deployment, choice), pairs.scores))
    return msgspec.structs.replace(choice, blend=curve)


def with_choice(fitted: Deployment, choice: Choice) -> Deployment:
    """Give the models of `fitted` the calibrations and weights of `choice`."""
    members = tuple(
        Member(m.scorer, c, w) for m, c, w in zip(fitted.members, choice.calibrations, choice.weights, strict=True)
    )
    return fitted.blending(members, choice.blend)


def calibrating(users: I32, config: Config) -> I32:
    """Draw the users that calibrations are fitted to; what a report says of calibration, it says of others."""
    half = users[~reporting(users, config.training.seed)]
    return drawn(half if len(half) >= ENOUGH_USERS else users, CALIBRATION_USERS, config.training.seed)


def reporting(users: I32, seed: int) -> Bools:
    """Mark the half of all users, the same in every part, that no calibration is fitted to where there are enough."""
    return np.random.default_rng((seed, 1)).random(int(users.max(initial=-1)) + 1)[users] < 0.5


class Pairs(msgspec.Struct, frozen=True):
    """Held-out items against as many eligible ones drawn uniformly: who, which, and what every model says of it."""

    users: I64
    """(n,)"""
    engaged: Bools
    """(n,)"""
    scores: F32
    """(n, M) raw, NaN = not scored."""

    def curve(self, scores: F32 | F64) -> Curve:
        """Fit P(engaged | score) to scores (n,) of the pairs."""
        return calibrate(scores.astype(np.float32), self.engaged, self.users)


def drawn_pairs(deployment: Deployment, part: Part, users: I32, config: Config, *, threads: int = 1) -> Pairs:
    """Draw the pairs of `users` and score them with every model. Cost: one pass over users x items."""
    found = [(np.empty(0, np.int64), np.empty(0, np.bool_), np.empty((0, len(deployment.members)), np.float32))]
    for some in batches(users, part.data.items.n):
        asked = query(part.data, some, limit=config.serving.history_limit)
        wanted = targets_of(part.targets, some)
        indptr, items, engaged = sample(asked, wanted, eligible(part, some), seed=config.training.seed)
        pool = Pool(indptr, items, np.zeros(len(items), np.uint32), ())
        columns = [column(member, asked, pool, threads=threads) for member in deployment.members]
        found.append((np.repeat(some.astype(np.int64), np.diff(indptr)), engaged, np.column_stack(columns)))
    users_of, labels, scores = zip(*found, strict=True)
    return Pairs(np.concatenate(users_of), np.concatenate(labels), np.concatenate(scores))


def weigh(deployment: Deployment, part: Part, choice: Choice, config: Config, *, threads: int = 1) -> Choice:
    """Choose blend weights (they sum to 1) by climbing NDCG at `training.at`. Deterministic.

    Popularity keeps `POPULAR_SHARE`, unless it is configured with weight 0.
    """
    at, n_items = config.training.at, part.data.items.n
    users = drawn(part.targets.users, max(1, TUNING_ROWS // config.serving.pool), config.training.seed)
    sources, orders = declared(deployment, config.candidates), Orders(deployment.popularity, deployment.n_items)
    held_out = [targets_of(part.targets, some) for some in batches(users, n_items)]
    tables = [
        scored(deployment, sources, orders, part, some, config, threads=threads) for some in batches(users, n_items)
    ]

    seen: dict[tuple[float, ...], float] = {}

    def judge(weights: tuple[float, ...]) -> float:
        if weights not in seen:
            candidate = msgspec.structs.replace(deployment, weights=np.array(weights, np.float32))
            lists = (served(candidate, tab, at, config, threads=threads) for tab in tables)
            ndcg = [evaluate(found, *wanted, at)["ndcg"] for found, wanted in zip(lists, held_out, strict=True)]
            seen[weights] = float(np.concatenate(ndcg).mean())
        return seen[weights]

    configured = _shares([m.weight for m in deployment.members])
    count = len(configured)
    popular = deployment.popular if configured[deployment.popular] > 0 else -1
    starts = [configured, *(tuple(float(i == j) for j in range(count)) for i in range(count)), (1 / count,) * count]
    best = max((_floored(s, popular) for s in starts), key=judge)  # the first of equals: the configured weights
    for step in STEPS:
        before: tuple[float, ...] = ()
        while before != best:  # once around without a gain: the top, for this step
            before = best
            for giver, taker in itertools.permutations(range(count), 2):
                while judge(trial := _floored(_moved(best, giver, taker, step), popular)) > judge(best):
                    best = trial
    return msgspec.structs.replace(choice, weights=best, ndcg=judge(best), users=len(users), trials=len(seen))


def targets_of(targets: Rows, users: I32) -> tuple[I64, I32]:
    """Take the held-out items of `users`, all of whom are in `targets`: (indptr, items)."""
    indptr, at = take(targets.indptr, np.searchsorted(targets.users, users).astype(np.int32))
    return indptr, targets.items[at]


def _moved(weights: tuple[float, ...], giver: int, taker: int, step: float) -> tuple[float, ...]:
    """Move up to `step` of weight from one model to another."""
    trial = list(weights)
    amount = min(step, weights[giver])
    trial[giver] -= amount
    trial[taker] += amount
    return _shares(trial)


def _floored(weights: tuple[float, ...], popular: int) -> tuple[float, ...]:
    """Raise the share of model `popular` (-1 = none) to `POPULAR_SHARE`, at the cost of all others alike."""
    if popular < 0 or weights[popular] >= POPULAR_SHARE:
        return weights
    rest = (1 - POPULAR_SHARE) / (1 - weights[popular])
    return tuple(POPULAR_SHARE if m == popular else round(w * rest, 6) for m, w in enumerate(weights))


def _shares(weights: Sequence[float]) -> tuple[float, ...]:
    total = sum(weights)
    return tuple(round(w / total, 6) for w in weights)


def drawn(users: I32, limit: int, seed: int) -> I32:
    """Draw at most `limit` of `users`, ascending; the same seed draws the same."""
    if len(users) <= limit:
        return users
    return np.sort(np.random.default_rng(seed).choice(users, limit, replace=False))
