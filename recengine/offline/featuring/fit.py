"""Features stage of the offline spine: the store -> which features a deployment keeps, and how they are transformed.

In: the store as of a moment, and the configuration. Out: `Featured`. Selection learns from the earlier rows of the
table and judges by the later ones; the transforms of what stays are then fitted on all rows, to serve.
"""

import time
from collections.abc import Callable

import msgspec
import numpy as np

from recengine.config import Config
from recengine.features.definition import Derived, Feature, FeatureSet
from recengine.features.deployed import DeployedFeatures
from recengine.features.lanes import Labels, coded
from recengine.features.selection import SelectionReport, select
from recengine.features.signals import ENGAGED
from recengine.features.timelines import Told
from recengine.features.transforms import Cooccurrences, cooccurrences, fit_transforms
from recengine.kernels import cores
from recengine.offline.featuring.history import Past
from recengine.offline.featuring.leaks import find_leaks
from recengine.offline.featuring.training import Table, training_table
from recengine.store.database import Database
from recengine.types import I32

__all__ = ("Featured", "FeaturesReport", "chosen", "run")

FOLDS = 5
"""Of target encodings: the rows of one group are in one of them."""
JUDGING = 0.3
"""Of the groups, the latest: they judge what was learned from the others."""
JUDGED = 12_000
"""Rows that selection looks at, at most, on one thread: threads that wait for each other 30 times a tree cost more."""


class FeaturesReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the features."""

    rows: int
    """Of the training table."""
    features: int
    """Defined."""
    kept: tuple[str, ...]
    columns: int
    """Of the matrix that models see."""
    dropped: dict[str, str]
    """Feature to reason."""
    auc: float | None
    """Of the probe with all that were ranked, on the later rows."""
    seconds: float
    stages: dict[str, float]
    """Seconds by part: table, leaks, selection, transforms."""


class Featured(msgspec.Struct, frozen=True):
    """What a deployment keeps, and how it came about."""

    deployed: DeployedFeatures
    report: FeaturesReport
    told: tuple[tuple[Feature, Told], ...]
    """What timelines say now, to be kept once this is live; none where it was made as of the past."""


def run(
    database: Database,
    config: Config,
    *,
    as_of: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Featured:
    """Make the features of a deployment.

    Parameters
    ----------
    as_of : learn from nothing later than this (microseconds, or the feed's own order); None = all.
    progress : is told what is going on, from this thread.

    Raises
    ------
    ConfigInvalid : a definition cannot be used; the message names file and line.
    """
    clock = _Clock(progress)
    threads = cores(config.training.threads)
    table = training_table(database, config, as_of=as_of, threads=threads)
    clock.reached("table")
    leaks = find_leaks(database, table.features, table.past, table.drawn.probes.times)
    clock.reached("leaks")
    selection = chosen(table, config, leaks)
    clock.reached("selection")
    deployed = _fitted(table, config, selection)
    clock.reached("transforms")
    report = FeaturesReport(
        rows=len(table.drawn.taken),
        features=len(table.features.names),
        kept=deployed.kept,
        columns=deployed.program.width,
        dropped=selection.dropped,
        auc=selection.auc,
        seconds=clock.total,
        stages=clock.stages,
    )
    said = table.past.told.items() if as_of is None else ()
    return Featured(deployed, report, tuple([(table.features[name], told) for name, told in said]))


def chosen(table: Table, config: Config, leaks: dict[str, str]) -> SelectionReport:
    """Select among the features of a table, by `JUDGED` of its rows; what is made of a leak leaks as well.

    Parameters
    ----------
    leaks : reason by feature, as `find_leaks` gives it.
    """
    group = table.drawn.group
    step = -(-len(group) // JUDGED)  # whole groups, evenly over the whole time: its latest days are all of one season
    rows = np.flatnonzero(group % step == 0) if step > 1 else np.arange(len(group))
    later = group[rows] >= (1 - JUDGING) * group[-1] if len(group) else np.empty(0, np.bool_)
    return select(
        table.features.features,
        np.ascontiguousarray(table.values[:, rows]),
        table.drawn.taken[rows],
        later,
        config.features,
        _spread(leaks, table.features),
        seed=config.training.seed,
    )


def _fitted(table: Table, config: Config, selection: SelectionReport) -> DeployedFeatures:
    kept = set(selection.kept)
    needed = table.features.only(frozenset(kept))
    seen = tuple(feature for feature in needed.features if feature.name in kept)
    place = {name: k for k, name in enumerate(table.features.names)}
    rows = np.array([place[feature.name] for feature in seen], np.int64)
    program = fit_transforms(
        seen,
        np.ascontiguousarray(table.values[rows]),
        table.labels,
        table.drawn.taken,
        (table.drawn.group % FOLDS).astype(np.int32),
        _together(seen, table.past, config, table.labels),
        seed=config.training.seed,
    )
    domains = {feature.domain for feature in needed.features} | {"item.category", "item.brand"}  # counts rest on these
    labels = {domain: found for domain, found in table.labels.items() if domain in domains}
    return DeployedFeatures(needed, tuple(feature.name for feature in seen), labels, program, selection)


def _spread(leaks: dict[str, str], features: FeatureSet) -> dict[str, str]:
    found = dict(leaks)
    for feature in features.features:  # what another is made of stands before it
        if isinstance(feature.how, Derived):
            for part in feature.how.of:
                if part in found:
                    found.setdefault(feature.name, f"it is made of {part}, which leaks")
    return found


def _together(features: tuple[Feature, ...], past: Past, config: Config, labels: Labels) -> dict[str, Cooccurrences]:
    """Count for embeddings how often categories of items stand together in what users engaged with."""
    wanted = {feature.domain for feature in features if feature.transform == "embedding"}
    parts = {"item.category": config.serving.category, "item.brand": config.features.brand}
    engaged = np.flatnonzero(past.signals.flags & ENGAGED)
    users, items = past.signals.user[engaged], past.signals.item[engaged]
    found = {}
    for domain in sorted(wanted):
        owner, _, name = domain.partition(".")
        column = past.items.columns.get(parts.get(domain, name.removeprefix("="))) if owner == "item" else None
        if column is not None:
            latest = _latest(past, coded(column, labels[domain], len(past.items.rows)))
            found[domain] = cooccurrences(users, latest[items], len(labels[domain]))
    return found


def _latest(past: Past, codes: I32) -> I32:
    """Return the code of every item's latest version, int32 (n_items,), -1 = none."""
    out = np.full(past.n_items, -1, np.int32)
    out[past.items.rows] = codes  # versions are in order of time: the last assignment stays
    return out


class _Clock:
    """Notes how long each part took, and tells `progress`."""

    def __init__(self, progress: Callable[[str, int, int], None] | None) -> None:
        self._progress = progress
        self._start = self._last = time.perf_counter()
        self.stages: dict[str, float] = {}
        self._tell(0)

    def reached(self, part: str) -> None:
        """Note that `part` is done."""
        now = time.perf_counter()
        self.stages[part] = now - self._last
        self._last = now
        self._tell(len(self.stages))

    def _tell(self, done: int) -> None:
        if self._progress is not None:
            self._progress("features", done, 4)

    @property
    def total(self) -> float:
        """Seconds from the start to the last part."""
        return self._last - self._start
