"""Online state: a fold over typed frames.

`apply(seq, frame)` is its only mutator, for the first load, for every later batch and for replay.

A frame is columnar, so that one call carries one event or ten million. What requests read - histories, the two
catalogues - lives here and nowhere else; factors and neighbours live in the deployment.
"""

from threading import Lock
from typing import TypeAlias

import msgspec
import numpy as np

from recengine.config import EventType, Serving
from recengine.online.counters import Counters
from recengine.online.histories import Histories
from recengine.online.sessions import Sessions
from recengine.types import I32, Catalogue, EventColumns

__all__ = ("EventsFrame", "Frame", "HistoriesFrame", "ItemsFrame", "State", "UsersFrame")


class EventsFrame(msgspec.Struct, frozen=True):
    """New events, ordered by (user, time, seq). The first frame, or one of a share of all, makes a new base."""

    events: EventColumns
    n_users: int
    n_items: int
    whole: bool = False
    """These are all events there are."""


class HistoriesFrame(msgspec.Struct, frozen=True):
    """All events of some users, ordered by (user, time, seq): what stood in the order of arrival is put right."""

    events: EventColumns


class ItemsFrame(msgspec.Struct, frozen=True):
    """The catalogue as it stands from now on."""

    items: Catalogue


class UsersFrame(msgspec.Struct, frozen=True):
    """The users as they stand from now on."""

    users: Catalogue


Frame: TypeAlias = EventsFrame | HistoriesFrame | ItemsFrame | UsersFrame


class State:
    """Everything that serving knows and training does not have to be run for."""

    def __init__(
        self, rules: tuple[EventType, ...], items: Catalogue, users: Catalogue, serving: Serving | None = None
    ) -> None:
        self._rules = rules
        self._lock = Lock()
        rows, places = np.empty(0, np.int32), np.empty(0, np.int64)
        nothing = EventColumns(places, rows, rows, rows.astype(np.int16), rows.astype(np.float32), places, ())
        self.histories = Histories(rules, nothing, 0, 0)
        self.counters = Counters(rules)
        """How much everybody does with each item."""
        self.sessions = Sessions(rules, serving or Serving())
        """What happened in the latest visits."""
        self.items = items
        self.users = users
        self.types: tuple[str, ...] = ()
        """Event types by code, as the store numbers them."""
        self.seq = -1
        """Of the last frame applied."""

    def apply(self, seq: int, frame: Frame) -> I32:
        """Fold one frame in; frames come in the order of `seq`. Returns users whose events came late, if any."""
        late = np.empty(0, np.int32)
        with self._lock:
            match frame:
                case EventsFrame(whole=True):
                    self.types = frame.events.types
                    self.histories = Histories(self._rules, frame.events, frame.n_users, frame.n_items)
                    self.counters.restart(frame.events)
                case EventsFrame():
                    self.types = frame.events.types
                    late = self.histories.apply(frame.events)
                    self.counters.apply(frame.events)
                case HistoriesFrame():
                    self.histories.replace(frame.events)
                case ItemsFrame():
                    self.items = frame.items
                case UsersFrame():
                    self.users = frame.users
            self.seq = max(self.seq, seq)
        return late
