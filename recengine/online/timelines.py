"""Keeps what queries and external tables say of the live deployment's features up to date.

Beside the loop: `follower.py` says when the database has caught up, and a thread of its own asks, so that a slow query
holds up no writes. In: definitions, and the database. Out: `Told`
by feature, handed to the feature store. A query is asked again when the moment comes from which on it may say something
else (`every`), a table when an ingest may have brought rows.

A query or table that fails keeps what it said last, before a restart too, and is named in `trouble`.
"""

import logging
from collections.abc import Mapping
from threading import Lock, Thread
from time import time_ns

import numpy as np

from recengine.errors import RecEngineError
from recengine.features.definition import Feature, Timeline
from recengine.features.signals import BUCKET
from recengine.features.timelines import NOTHING, Told, evaluate, kept
from recengine.online.feature_store import FeatureStore
from recengine.online.item_columns import FAR
from recengine.online.state import State
from recengine.store.cursor import Cursor
from recengine.store.database import Database
from recengine.store.homes import Forgotten, home

__all__ = ("Timelines",)

log = logging.getLogger(__name__)


@home
class Timelines:
    """The timelines of one feature store at a time. Thread-safe."""

    def __init__(self, database: Database, state: State) -> None:
        self._database = database
        self._state = state
        self._lock = Lock()
        self._store: FeatureStore | None = None
        self._told: dict[str, Told] = {}
        self._next = FAR
        self._gone: set[int] = set()  # rows of users, which are not given again
        self._asking: Thread | None = None
        self._cursor: Cursor | None = None
        self._stopped = False
        state.watching.add(self)
        self.trouble: dict[str, str] = {}
        """By feature: why it says what it said before."""

    def serve(self, store: FeatureStore | None) -> None:
        """Keep this store's timelines from now on; None = there is none."""
        with self._lock:
            self._store, self._told, self.trouble = store, {}, {}
            self._again()

    def again(self) -> None:
        """Ask all anew: the store holds other data now."""
        with self._lock:
            self._again()

    def keep(self) -> None:
        """Let a thread ask anew where some may say something else by now, one at a time. Waits for nothing: 1 us."""
        asked = self._asking
        if time_ns() // 1000 >= self._next and not self._stopped and (asked is None or not asked.is_alive()):
            self._asking = Thread(target=self._ask, name="recengine-timelines", daemon=True)
            self._asking.start()

    def close(self) -> None:
        """Ask no more; a query that runs is interrupted, and its thread ends. Idempotent."""
        self._stopped = True
        asking = self._asking
        while asking is not None and asking.is_alive():
            cursor = self._cursor
            if cursor is not None:  # again and again: it may strike between two queries
                cursor.interrupt()
            asking.join(0.02)

    def forget(self, who: Forgotten) -> None:
        """Know nothing of a user; what is being asked meanwhile leaves it out too."""
        self._gone.add(who.user)
        if self._store is not None and self._told:
            self._told = self._without(self._told)
            self._store.retell(self._told)

    @property
    def told(self) -> Mapping[str, Told]:
        """What is said, by feature."""
        return self._told

    def _ask(self) -> None:
        try:
            self._cursor = self._database.read()
            self.again()
        except Exception:  # an operator's query may fail in any way; what it said stays, the next moment asks again
            log.exception("timelines say what they said before")
        finally:
            self._cursor = None

    def _again(self) -> None:
        self._next = FAR
        if self._store is None:
            return
        mine = [f for f in self._store.features.features if isinstance(f.how, Timeline)]
        if not mine:
            return
        now = time_ns() // 1000
        lengths = [f.how.every * BUCKET for f in mine if isinstance(f.how, Timeline) and f.how.every]
        self._next = min(((now // length + 1) * length for length in lengths), default=FAR)
        said = {}
        for feature in mine:
            said[feature.name] = self._asked(feature)
            if self._stopped:
                return
        gone = -1
        while gone != len(self._gone):  # who is forgotten from here on finds `_told` as it is, and leaves it out
            gone = len(self._gone)
            self._told = self._without(said)
            self._store.retell(self._told)

    def _asked(self, feature: Feature) -> Told:
        try:
            told = evaluate(self._database, feature, timed=self._state.kind != "integer")
        except RecEngineError as err:
            if self._stopped:
                return NOTHING
            log.warning("feature %s says what it said before: %s", feature.name, err.message)
            self.trouble[feature.name] = err.message
            return self._told.get(feature.name) or kept(self._database, feature) or NOTHING
        self.trouble.pop(feature.name, None)
        return told

    def _without(self, told: Mapping[str, Told]) -> dict[str, Told]:
        """Leave out users who were forgotten."""
        out = dict(told)
        gone = np.array(sorted(self._gone), np.int32)
        for feature in self._store.features.features if self._store is not None and len(gone) else ():
            if isinstance(feature.how, Timeline) and feature.how.owner == "user" and feature.name in out:
                said = out[feature.name]
                left = ~np.isin(said.row, gone)
                out[feature.name] = Told(said.row[left], said.time[left], said.value[left], said.labels)
        return out
