"""Last step before a deployment serves: the index over the item vectors of its first factor model.

Stands between `train` (or `incremental`) and `deploy`. In: a fitted deployment and what it was fitted on. Out: the same
with its index, whose effort is measured on vectors of users, as they will ask; without one where `[index]` says that a
model's own scan of all items is as good.
"""

import msgspec
import numpy as np

from recengine.algorithms.base import Factors, Turned
from recengine.config import Config
from recengine.config import Index as IndexConfig
from recengine.index import Index, Patched, Progress, Projected, build
from recengine.offline.build import query
from recengine.retrieval.deployment import Deployment
from recengine.types import F32, F64, I32, Bools, TrainingData

__all__ = ("REBUILT", "as_configured", "askers", "asking", "carried", "indexed", "model_of", "vectors_of")

ASKED = 400
"""Users drawn to measure recall with; those without a vector do not count."""
REBUILT = 0.1
"""Share of rows that may have changed before an increment builds anew: a query pays that much of a full scan."""

ROUNDING = 3e-5
"""Of its length: a row that is nearer to where the turn brought it did not move. Two turns in float32 cost 2e-6."""
CHUNK = 65_536


def indexed(
    deployment: Deployment, data: TrainingData, config: Config, *, progress: Progress | None = None
) -> Deployment:
    """Return `deployment` with its index, built now.

    Cost: see the `build` of the kinds in `index`.
    """
    model = model_of(deployment)
    if model is None:
        return deployment
    vectors = vectors_of(model)
    if not _pays(config.index, len(vectors)):
        return deployment
    seed, threads = config.training.seed, config.training.threads
    asked = asking(model, data, config)
    measured = asked if len(asked) else None
    found = build(vectors, config.index, queries=measured, seed=seed, threads=threads, progress=progress)
    return msgspec.structs.replace(deployment, index=found)


def carried(deployment: Deployment, live: Deployment, data: TrainingData, config: Config) -> Deployment:
    """Return `deployment`, an increment on `live`, with the index of `live` and what changed since beside it.

    It is built anew where there is none, where it is of another kind than `[index]` says now, or where more than
    `REBUILT` of its rows have changed. Cost otherwise: one pass over both models' vectors, and 2 n_items d^2
    flops where the update turned them.
    """
    model, before = model_of(deployment), model_of(live)
    if model is None or before is None or live.index is None:
        return indexed(deployment, data, config)
    old, new = vectors_of(before), vectors_of(model)
    if not _pays(config.index, len(new)):
        return deployment
    base = live.index.base if isinstance(live.index, Patched) else live.index
    if not as_configured(live, config) or old.shape[1] != new.shape[1] or len(new) < len(old):
        return indexed(deployment, data, config)
    turn = model.turn() if isinstance(model, Turned) else None
    changed = np.ones(len(new), np.bool_)
    changed[: len(old)] = _moved(old, new[: len(old)], turn)
    if isinstance(live.index, Patched) and live.index.turn is not None:
        turn = live.index.turn if turn is None else _orthogonal(live.index.turn @ turn)
    if isinstance(live.index, Patched):
        changed[live.index.rows] = True
    rows = np.flatnonzero(changed).astype(np.int32)
    if len(rows) == 0 and turn is None:
        return msgspec.structs.replace(deployment, index=live.index)
    if len(rows) > REBUILT * len(new):
        return indexed(deployment, data, config)
    patched: Index = Patched(base, rows, np.ascontiguousarray(new[rows]), turn)
    return msgspec.structs.replace(deployment, index=patched)


def as_configured(deployment: Deployment, config: Config) -> bool:
    """Tell whether the index of `deployment`, or that it has none, is what `[index]` says now."""
    model, index = model_of(deployment), deployment.index
    if model is None:
        return True
    if index is None or not _pays(config.index, deployment.n_items):
        return index is None and not _pays(config.index, deployment.n_items)
    base = index.base if isinstance(index, Patched) else index
    return config.index.kind in {"auto", base.kind} and _narrowed_as(base, config.index)


def _narrowed_as(base: Index, config: IndexConfig) -> bool:
    """Tell whether `base` searches in as many directions as `[index]` says now."""
    wanted = base.d if config.projection is None else min(config.projection, base.d)
    return (base.base.d if isinstance(base, Projected) else base.d) == wanted


def _moved(old: F32, new: F32, turn: F64 | None) -> Bools:
    """Tell which rows are others than before, bool (n,): by their bits, or by more than the rounding of a turn."""
    if turn is None:
        return np.asarray((old.view(np.uint32) != new.view(np.uint32)).any(axis=1))
    moved = np.ones(len(old), np.bool_)
    for first in range(0, len(old), CHUNK):
        part = slice(first, first + CHUNK)
        gap = old[part] @ turn.astype(np.float32) - new[part]
        far = np.einsum("ij,ij->i", gap, gap) > ROUNDING**2 * np.einsum("ij,ij->i", new[part], new[part])
        was, now = np.isnan(old[part]).any(axis=1), np.isnan(new[part]).any(axis=1)
        moved[part] = far | (was != now)
    return moved


def _orthogonal(nearly: F64) -> F64:
    """Return the orthogonal matrix nearest to one: products of many stay turns, and lengths stay lengths."""
    left, _, right = np.linalg.svd(nearly)
    return np.asarray(left @ right)


def asking(model: Factors, data: TrainingData, config: Config, n: int = ASKED, *, beyond: bool = False) -> F32:
    """Return vectors (B, d) float32 of up to `n` of the users that `askers` draws, as they would ask."""
    users = askers(data.users.n, config.training.seed, n, beyond=beyond)
    found = model.query_vectors(query(data, users, limit=config.serving.history_limit))
    return np.ascontiguousarray(found[np.isfinite(found).all(axis=1)])


def askers(users: int, seed: int, n: int, *, beyond: bool) -> I32:
    """Draw at most `n` of so many users, ascending, from one half of them; `beyond` takes the other half.

    An index is measured with the first half when it is built, and reported on with the other. A user's half does not
    change when others join. Of few users both take all.
    """
    luck = np.random.default_rng(seed).random(users)
    half = (luck < 0.5) != beyond if users >= 2 * ASKED else np.ones(users, np.bool_)
    drawn = np.flatnonzero(half)
    return np.sort(drawn[np.argsort(luck[drawn])][:n]).astype(np.int32)


def model_of(deployment: Deployment) -> Factors | None:
    """Return the first model that scores by dot products; None = there is none."""
    member = deployment.factors
    return member.scorer if member is not None and isinstance(member.scorer, Factors) else None


def vectors_of(model: Factors) -> F32:
    """Return its item vectors (n_items, d) float32 in C order."""
    return np.ascontiguousarray(model.item_factors(), dtype=np.float32)


def _pays(config: IndexConfig, rows: int) -> bool:
    """Tell whether an index spares anything beside the scan of all rows that the model does itself."""
    if config.projection is not None:
        return True
    return rows > config.exact_up_to if config.kind == "auto" else config.kind != "exact"
