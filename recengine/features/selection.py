"""Choose the features that a model sees, and say why each of the others was dropped.

Offline only, after the training table. In: the table, outcomes, and which rows are the later ones. Out: a
`SelectionReport`. What is dropped, in this order: what never varies; what knows the outcome (a leak); what an earlier
feature says already; what ranks behind the `keep` best.

Why the later rows judge: a feature that only remembers (an id, a rare category) tells outcomes of the rows it was
fitted on, and nothing of those that come.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from recengine.config import Features
from recengine.features.associations import (
    auc,
    binned,
    likeness,
    mutual_information,
    outcome_by_bin,
    rank_correlations,
)
from recengine.features.definition import Feature
from recengine.trees import permutation_importance, train
from recengine.types import F32, F64, I64, Bools

__all__ = ("Judged", "SelectionReport", "select")

_TREES = 60
_LEAVES: Mapping[str, float] = {"num_leaves": 31, "min_data_in_leaf": 20, "learning_rate": 0.1}
_CORRELATED, _TRAINED, _SHUFFLED = 50_000, 100_000, 20_000  # rows looked at, at most
_ENOUGH = 100
"""Rows on either side, without which the probe says nothing."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a feature's worth."""

    information: float
    """Mutual information with the outcome, in nats, on the earlier rows."""
    alone: float | None = None
    """AUC of the feature by itself on the later rows, 0.5..1; None where they have but one outcome."""
    importance: float | None = None
    """How much the probe's AUC falls on the later rows without it; None where it was not in the probe."""
    place: int | None = None
    """1 = the best; None where it was dropped before they were ranked."""


class SelectionReport(msgspec.Struct, frozen=True, kw_only=True):
    """Which features stay, which go and why."""

    kept: tuple[str, ...]
    """In the order of their columns."""
    dropped: dict[str, str]
    """Reason by name."""
    judged: dict[str, Judged]
    auc: float | None
    """Of the probe with all that were ranked, on the later rows; None where there were too few rows."""
    rows: int
    later: int


class _Told(NamedTuple):
    judged: Judged
    how: str
    """How `alone` was found."""


def select(
    features: tuple[Feature, ...],
    values: F32,
    outcomes: F32,
    later: Bools,
    config: Features,
    leaks: Mapping[str, str],
    *,
    seed: int = 0,
    threads: int = 1,
) -> SelectionReport:
    """Select.

    Parameters
    ----------
    features : F of them, in the order of columns; of two that say the same the earlier stays.
    values : (F, m) float32 before transforms, NaN = missing.
    outcomes : (m,) float32, 1 = taken, 0 = not.
    later : (m,) bool, the rows that judge; the others are learned from.
    config : `keep`, `duplicate` and `leak`.
    leaks : what was found to look into the future elsewhere: reason by name.
    seed, threads : of the probe; the same seed gives the same report.

    Cost: a few sorts a feature, 60 trees, and a prediction of 20,000 rows a feature: 5 s for 50,000 rows x 60 features.
    """
    later = later.astype(bool)
    dropped: dict[str, str] = {}
    judged: dict[str, Judged] = {}
    left: list[int] = []
    for f, (feature, row) in enumerate(zip(features, values, strict=True)):
        constant = _constant(row)
        if constant:
            dropped[feature.name] = constant
            continue
        told = _told(feature, row, outcomes, later)
        judged[feature.name] = told.judged
        if feature.name in leaks:
            dropped[feature.name] = f"leak: {leaks[feature.name]}"
        elif told.judged.alone is not None and told.judged.alone > config.leak:
            found = f"AUC {told.judged.alone:.4f}, above {config.leak:g}"
            dropped[feature.name] = f"leak: alone, {told.how} tells the outcome ({found})"
        else:
            left.append(f)
    copies = _duplicates(features, values, left, config.duplicate)
    dropped.update({features[f].name: reason for f, reason in copies.items()})
    left = [f for f in left if f not in copies]
    importance, whole = _probe(values[left], outcomes, later, seed, threads)
    information = np.array([judged[features[f].name].information for f in left])
    order = _best(information, importance)
    for place, at in enumerate(order.tolist(), 1):
        name = features[left[at]].name
        falls = None if importance is None else float(importance[at])
        judged[name] = msgspec.structs.replace(judged[name], importance=falls, place=place)
        if place > config.keep:
            probe = "" if falls is None else f", permutation importance {falls:.5f}"
            dropped[name] = (
                f"place {place} of {len(left)}, {config.keep} are kept: mutual information {information[at]:.5f}{probe}"
            )
    return SelectionReport(
        kept=tuple(f.name for f in features if f.name not in dropped),
        dropped={f.name: dropped[f.name] for f in features if f.name in dropped},
        judged=judged,
        auc=whole,
        rows=values.shape[1],
        later=int(later.sum()),
    )


def _constant(row: F32) -> str:
    """Say that a feature never varies; empty where it does."""
    known = row[~np.isnan(row)]
    if len(known) == 0:
        return f"constant: missing in all {len(row):,} rows"
    if len(known) == len(row) and (known == known[0]).all():
        return f"constant: {known[0]:g} in all {len(row):,} rows"
    return ""


def _told(feature: Feature, row: F32, outcomes: F32, later: Bools) -> _Told:
    """Measure what a feature tells by itself: by its bins, and, of a number, by its order."""
    category = feature.dtype == "category"
    bins = binned(row, row[~later], category=category)
    information = mutual_information(bins[~later], outcomes[~later])
    by_bin = auc(outcomes[later], outcome_by_bin(bins[~later], outcomes[~later], bins[later]))
    if np.isnan(by_bin):
        return _Told(Judged(information=information), "")
    by_order = 0.5 if category else auc(outcomes[later], row[later])
    ways = [(by_order, "a higher value"), (1 - by_order, "a lower value"), (by_bin, "its value")]
    alone, how = max(ways, key=lambda way: way[0])
    return _Told(Judged(information=information, alone=alone), how)


def _duplicates(features: tuple[Feature, ...], values: F32, left: list[int], above: float) -> dict[int, str]:
    """Find what an earlier one that stays says already: numbers by rank, categories by how they part the rows."""
    some = values[:, :: max(1, -(-values.shape[1] // _CORRELATED))]
    numbers = [f for f in left if features[f].dtype == "number"]
    alike = rank_correlations(some[numbers])
    found: dict[int, str] = {}
    for b, f in enumerate(numbers):
        for a, earlier in enumerate(numbers[:b]):
            if earlier not in found and abs(alike[a, b]) > above:
                found[f] = f"near duplicate of {features[earlier].name}: rank correlation {alike[a, b]:.4f}"
                break
    parts: dict[int, I64] = {}
    for f in (f for f in left if features[f].dtype == "category"):
        mine = binned(some[f], some[f], category=True)
        for earlier, theirs in parts.items():
            share = likeness(theirs, mine)
            if share > above:
                found[f] = f"near duplicate of {features[earlier].name}: it parts the rows alike to {share:.4f}"
                break
        else:
            parts[f] = mine
    return found


def _probe(values: F32, outcomes: F32, later: Bools, seed: int, threads: int) -> tuple[F64 | None, float | None]:
    """Train trees on the earlier rows; return each feature's permutation importance and the whole AUC on the later."""
    earlier, judges = _sample(~later, _TRAINED, seed), _sample(later, _SHUFFLED, seed)
    sides = (outcomes[earlier], outcomes[judges])
    if len(values) == 0 or any(len(y) < _ENOUGH or y.min() == y.max() for y in sides):
        return None, None
    x = np.ascontiguousarray(values.T)
    forest = train(x[earlier], sides[0], params=_LEAVES, rounds=_TREES, seed=seed, threads=threads)
    held = x[judges]
    falls = permutation_importance(forest, held, sides[1], auc, seed=seed, threads=threads)
    return falls, auc(sides[1], forest.predict(held, threads=threads))


def _sample(rows: Bools, most: int, seed: int) -> I64:
    """Take at most so many of the rows that are set, by seed, in order."""
    at: I64 = np.flatnonzero(rows)
    return at if len(at) <= most else np.sort(np.random.default_rng(seed).choice(at, most, replace=False))


def _best(information: F64, importance: F64 | None) -> I64:
    """Order features by the mean of their two places, best first, ties to the earlier."""
    places = np.zeros(len(information))
    for worth in (information, importance) if importance is not None else (information,):
        places[np.argsort(-worth, kind="stable")] += np.arange(len(worth))
    order: I64 = np.argsort(places, kind="stable")
    return order
