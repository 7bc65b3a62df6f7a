"""Evaluate queries and external tables of features again, and keep what they say.

Beside the offline spine: `features materialize` asks for it after data or definitions changed. In: the store and the
configuration. Out: a report; what was found is kept in the store, all of it or, where one fails, nothing.
"""

import time

import msgspec

from recengine.config import Config
from recengine.features.definition import Timeline
from recengine.features.timelines import evaluate, keep
from recengine.offline.featuring.training import defined
from recengine.store.database import Database
from recengine.store.events import order_kind
from recengine.types import NO_TIME

__all__ = ("Materialized", "materialize")


class Materialized(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one feature."""

    name: str
    version: str
    entries: int
    """Values, each from a moment on."""
    entities: int
    """Items or users that have one; 1 where time alone leads to it."""
    last: int | None
    """From when on the latest value counts, microseconds; None = there is none, or it counts since ever."""
    seconds: float


def materialize(database: Database, config: Config) -> tuple[Materialized, ...]:
    """Evaluate every feature that is a query or a column of an external table, and keep what they say.

    Raises
    ------
    ConfigInvalid : a definition cannot be used; the message names file and line, and nothing was kept.
    """
    timed = order_kind(database.read()) != "integer"
    said = []
    report = []
    for feature in defined(database, config).features:
        if not isinstance(feature.how, Timeline):
            continue
        start = time.perf_counter()
        told = evaluate(database, feature, timed=timed)
        said.append((feature, told))
        last = int(told.time.max()) if len(told.time) else NO_TIME
        report.append(
            Materialized(
                name=feature.name,
                version=feature.version,
                entries=len(told.row),
                entities=len(set(told.row.tolist())),
                last=last if last != NO_TIME else None,
                seconds=time.perf_counter() - start,
            )
        )
    keep(database, said)
    return tuple(report)
