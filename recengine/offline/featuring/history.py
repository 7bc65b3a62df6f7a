"""What a training table is made of: all events, all versions of items and users, all timelines, read once.

On the offline spine, first step of featuring. In: the store as of a moment. Out: `Past`. Nothing here is cut at the
moment of a row yet: that is what the kernels and the joins of `table.py` do.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from recengine.config import Config
from recengine.features.definition import FeatureSet, Timeline
from recengine.features.signals import Signals, signals
from recengine.features.timelines import Told, evaluate
from recengine.store.catalog import VersionsOverTime, read_items, read_versions_over_time
from recengine.store.database import Database
from recengine.store.decisions import read_answered
from recengine.store.events import read_events, repeated_events
from recengine.types import I64, MICROSECONDS_FROM, NO_TIME, Catalogue, Column

__all__ = ("Past", "read_past", "taken", "timelines")


class Past(NamedTuple):
    """All that happened and was known, up to a moment."""

    signals: Signals
    """Ordered by (user, time, seq)."""
    timed: bool
    """Whether events have moments; if not, what changes by versions or timelines has its latest value everywhere."""
    n_users: int
    n_items: int
    since: I64
    """(n_items,) when the catalogue says that each item began, NO_TIME where it does not."""
    described: I64
    """(n_items,) from when on each item was described: NO_TIME = since ever, the largest int64 = never."""
    items: VersionsOverTime
    users: VersionsOverTime
    told: Mapping[str, Told]
    """Timelines by feature."""
    as_of: int | None
    requests: Mapping[str, Column] = {}
    """By signal what the request told whose reply the event answers: device, location, referrer; and the position of
    the item in that reply. Empty where no event answers one."""


def read_past(
    database: Database,
    config: Config,
    features: FeatureSet,
    *,
    as_of: int | None = None,
    items: Catalogue | None = None,
) -> Past:
    """Read everything that features rest on.

    Parameters
    ----------
    as_of : nothing later than this (microseconds, or the feed's own order); None = all.
    items : the catalogue of that moment, where it was read already.

    Raises
    ------
    ConfigInvalid : a query or source of a feature cannot be used; see `features.timelines`.

    Cost: about 0.5 us an event, 60 bytes an event.
    """
    events = read_events(database, as_of=as_of)
    said, seq = signals(events, config.event), events.seq
    repeated = repeated_events(database)
    if len(repeated):
        once = np.flatnonzero(~np.isin(seq, repeated))
        said, seq = said.take(once), seq[once]
    timed = said.timed
    moment = as_of if as_of is not None and as_of >= MICROSECONDS_FROM else None
    versions = read_versions_over_time(database, "item", as_of=moment)
    users = read_versions_over_time(database, "user", as_of=moment)
    catalogue = items or read_items(database, as_of=moment)
    n_users = max((int(rows.max()) + 1 for rows in (said.user, users.rows) if len(rows)), default=0)
    n_items = max(catalogue.n, int(said.item.max()) + 1 if len(said.item) else 0)
    since = np.full(n_items, NO_TIME, np.int64)
    since[: catalogue.n] = catalogue.since
    described = np.full(n_items, np.iinfo(np.int64).max, np.int64)
    if catalogue.held is not None:
        known = np.flatnonzero(catalogue.held != NO_TIME)
        described[known] = catalogue.since[known] if timed else NO_TIME
    told = timelines(database, features, timed=timed, as_of=as_of)
    requests = _requests(database, seq, as_of)
    return Past(said, timed, n_users, n_items, since, described, versions, users, told, as_of, requests)


def _requests(database: Database, seq: I64, as_of: int | None) -> dict[str, Column]:
    """Lay what requests told beside the events that answer them; `seq` are all events, in any order."""
    found, told = read_answered(database, as_of=as_of)
    if len(found) == 0:
        return {}
    at = np.minimum(np.searchsorted(found, seq), len(found) - 1)
    at[found[at] != seq] = -1
    return taken(told, at)


def taken(told: Mapping[str, Column], rows: I64) -> dict[str, Column]:
    """Take rows of columns of strings and numbers, -1 = a missing one."""
    found = {}
    for name, column in told.items():
        missing = np.array([-1 if column.kind == "string" else np.nan], column.data.dtype)
        found[name] = Column(column.kind, np.append(column.data, missing)[rows], column.labels)
    return found


def timelines(database: Database, features: FeatureSet, *, timed: bool, as_of: int | None) -> dict[str, Told]:
    """Evaluate every feature that is a timeline, by name; raises as `read_past`."""
    return {
        feature.name: evaluate(database, feature, timed=timed, as_of=as_of)
        for feature in features.features
        if isinstance(feature.how, Timeline)
    }
