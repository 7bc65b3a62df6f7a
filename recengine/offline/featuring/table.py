"""The training table: every feature of many (user, item, moment), each as of its own moment.

On the offline spine, between `history.py` and the fit of transforms. In: `Past` and probes. Out: float32 (F, m), a row
a feature. Three ways lead to values, and groups of them are filled side by side on threads:

counts of events   the kernels that serving uses, swept over history: windows, decays, users, visits, pairs, co-visits
versions           attributes of items and users: one ASOF join an owner, then columns by position
timelines          queries and sources: one ASOF join each

Why counts come from kernels and not from a join a window: a second definition of each count in SQL would have to agree
with the one that serving runs, bit for bit, for ever; and a join for each window is slower (`bench/features.py`).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np

from recengine.config import Config, microseconds
from recengine.features.attributes import attribute_values, numbers
from recengine.features.context import CONTEXT_VALUES, read_contexts
from recengine.features.covisits import COVISIT_VALUES, sweep
from recengine.features.definition import AttributeOf, Counted, Derived, Feature, FeatureSet, Timeline
from recengine.features.item import ITEM_VALUES, ItemTallies
from recengine.features.lanes import Labels, Lanes, coded, lanes_from
from recengine.features.pairs import PAIR_VALUES
from recengine.features.session import SESSION_VALUES
from recengine.features.signals import BUCKET
from recengine.features.timelines import coded as coded_told
from recengine.features.trails import Trails, lookback_of, read_rows
from recengine.features.user import USER_VALUES
from recengine.kernels.derive import OPERATIONS, derive
from recengine.offline.featuring.history import Past, taken
from recengine.store.asof import in_force
from recengine.store.catalog import VersionsOverTime
from recengine.store.database import Database
from recengine.types import F32, I32, I64, NO_TIME

__all__ = ("Probes", "fill", "lanes_over_time")

_TRAILS = (*USER_VALUES, *SESSION_VALUES, *PAIR_VALUES)


class Probes(msgspec.Struct, frozen=True):
    """Who is asked about what, and as of when: m rows, in any order; user -1 = nobody."""

    users: I32
    items: I32
    times: I64
    events: I64 | None = None
    """(m,) the signal that each belongs to, whose request is known, maybe; None = no request is known of any."""

    def take(self, rows: I64) -> "Probes":
        """Return some of them."""
        events = None if self.events is None else self.events[rows]
        return Probes(self.users[rows], self.items[rows], self.times[rows], events)


def fill(
    database: Database,
    past: Past,
    config: Config,
    features: FeatureSet,
    probes: Probes,
    labels: Labels,
    *,
    threads: int = 1,
) -> F32:
    """Compute every feature of every probe as of its moment, float32 (F, m), rows in the order of `features`.

    Events count from right after their moment on; versions and timelines from their moment on. Where events have no
    moments, what needs one is NaN, and versions and timelines have their latest value.

    Parameters
    ----------
    labels : what codes of categories stand for (`features.attributes.labels_of`).

    Cost: about 1 us a probe and event for all groups together; memory: the result, the largest group once more
    (29 x m float32), and 40 bytes an event.
    """
    m = len(probes.items)
    names = features.names
    place = {name: k for k, name in enumerate(names)}
    values = np.full((len(names), m), np.nan, np.float32)

    def into(rows: dict[str, int], group: F32) -> None:
        """Put rows of a group, by name of the value, where they belong."""
        for feature in features.features:
            if isinstance(feature.how, Counted) and feature.how.value in rows:
                values[place[feature.name]] = group[rows[feature.how.value]]

    groups = [
        *_counts(past, config, features, probes, labels, into, threads),
        *_versions(database, past, features, probes, labels, values),
        *_timelines(database, past, features, probes, labels, values),
    ]
    if threads > 1 and m:
        with ThreadPoolExecutor(threads, thread_name_prefix="recengine-features") as pool:
            for done in [pool.submit(group) for group in groups]:
                done.result()
    else:
        for group in groups:
            group()
    plan = [  # what others are made of stands before them
        (OPERATIONS.index(feature.how.op), place[feature.how.of[0]], 1, place[feature.how.of[1]], 1, k)
        for k, feature in enumerate(features.features)
        if isinstance(feature.how, Derived)
    ]
    derive(values, np.array(plan, np.int32).reshape(-1, 6))
    return values


def _counts(
    past: Past,
    config: Config,
    features: FeatureSet,
    probes: Probes,
    labels: Labels,
    into: Callable[[dict[str, int], F32], None],
    threads: int,
) -> list[Callable[[], None]]:
    m = len(probes.items)
    wanted = {feature.how.value for feature in features.features if isinstance(feature.how, Counted)}
    windows = tuple(microseconds(window) // BUCKET for window in config.features.windows)

    def tallies() -> None:
        out = np.empty((len(ITEM_VALUES), m), np.float32)
        counts = ItemTallies((windows[0], windows[1], windows[2]), microseconds(config.features.half_life) // BUCKET)
        counts.sweep(past.signals, probes.items, probes.times, past.since, out)
        into(_numbered(ITEM_VALUES), out)

    def trails() -> None:
        out = np.empty((len(_TRAILS), m), np.float32)
        lanes = lanes_over_time(past, config, labels)
        done = Trails.of(past.signals, past.n_users)
        read_rows(done, lanes, lookback_of(config), probes.users, probes.items, probes.times, out, threads)
        into(_numbered(_TRAILS), out)

    def covisits() -> None:
        out = np.empty((len(COVISIT_VALUES), m), np.float32)
        sweep(past.signals, probes.items, probes.users, probes.times, config.features.anchors, out)
        into(_numbered(COVISIT_VALUES), out)

    def contexts() -> None:
        told = taken(past.requests, probes.events) if probes.events is not None else {}
        into(_numbered(CONTEXT_VALUES), read_contexts(probes.times, told, labels))

    ways = ((trails, _TRAILS), (tallies, ITEM_VALUES), (covisits, COVISIT_VALUES), (contexts, CONTEXT_VALUES))
    return [way for way, told in ways if wanted & set(told)]


def _versions(
    database: Database, past: Past, features: FeatureSet, probes: Probes, labels: Labels, values: F32
) -> list[Callable[[], None]]:
    def owner_of(feature: Feature) -> str:
        return feature.how.owner if isinstance(feature.how, AttributeOf) else ""

    def fill_in(owner: str, versions: VersionsOverTime, asked: I32) -> None:
        at = _at(database, past, versions.rows, versions.begins, asked, probes.times)
        for k, feature in enumerate(features.features):
            if owner_of(feature) == owner and isinstance(feature.how, AttributeOf):
                column = versions.columns.get(feature.how.attribute)
                told = attribute_values(column, feature.how, labels.get(feature.domain, ()), len(versions.rows))
                values[k] = np.append(told, np.float32(np.nan))[at]  # position -1 is the missing one at the end

    whose = {owner_of(feature) for feature in features.features}
    sides = (("item", past.items, probes.items), ("user", past.users, probes.users))
    return [lambda side=side: fill_in(*side) for side in sides if side[0] in whose]  # type: ignore[misc]


def _timelines(
    database: Database, past: Past, features: FeatureSet, probes: Probes, labels: Labels, values: F32
) -> list[Callable[[], None]]:
    def fill_in(k: int, feature: Feature, owner: str) -> None:
        told = past.told[feature.name]
        asked = {"item": probes.items, "user": probes.users}.get(owner, np.zeros(len(probes.items), np.int32))
        at = _at(database, past, told.row, told.time, asked, probes.times)
        values[k] = np.append(coded_told(told, labels.get(feature.domain, ())), np.float32(np.nan))[at]

    return [
        lambda k=k, feature=feature: fill_in(k, feature, feature.how.owner)  # type: ignore[misc]
        for k, feature in enumerate(features.features)
        if isinstance(feature.how, Timeline)
    ]


def _at(database: Database, past: Past, rows: I32, begins: I64, asked: I32, times: I64) -> I64:
    """Say which entry counts for each probe: the one in force, or the latest where events have no moments."""
    if past.timed:
        return in_force(database, rows, begins, asked, times)
    last: I64 = np.searchsorted(rows, asked, side="right") - 1
    return np.where((last >= 0) & (np.append(rows, -2)[last] == asked), last, -1)


def lanes_over_time(past: Past, config: Config, labels: Labels) -> Lanes:
    """Say what items were, by version; where events have no moments, what they are, since ever."""
    versions = past.items
    k = len(versions.rows)
    columns = (config.serving.category, config.features.brand)
    category, brand = (
        coded(versions.columns.get(name), labels.get(domain, ()), k)
        for name, domain in zip(columns, ("item.category", "item.brand"), strict=True)
    )
    priced = versions.columns.get(config.features.price)
    price = numbers(priced) if priced is not None and priced.kind == "number" else np.full(k, np.nan, np.float32)
    item, begins = versions.rows, versions.begins
    if not past.timed:
        last = np.flatnonzero(np.append(item[1:] != item[:-1], True)) if k else np.empty(0, np.int64)
        item, category, brand, price = item[last], category[last], brand[last], price[last]
        begins = np.full(len(last), NO_TIME, np.int64)
    sizes = (len(labels.get("item.category", ())), len(labels.get("item.brand", ())))
    return lanes_from(past.n_items, item, begins, category, brand, price, *sizes)


def _numbered(names: tuple[str, ...]) -> dict[str, int]:
    return {name: k for k, name in enumerate(names)}
