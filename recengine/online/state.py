"""Online state: a fold over typed frames.

`apply(seq, frame)` is its only mutator, for the first load, for every later batch and for replay.

A frame is columnar, so that one call carries one event or ten million. What requests read - histories, the two
catalogues - lives here and nowhere else; factors and neighbours live in the deployment.
"""

from threading import Lock
from typing import TypeAlias

import msgspec

from recengine.config import EventType
from recengine.online.histories import Histories
from recengine.types import Catalogue, EventColumns

__all__ = ("EventsFrame", "Frame", "ItemsFrame", "State", "UsersFrame")


class EventsFrame(msgspec.Struct, frozen=True):
    """Events, ordered by (user, time, seq)."""

    events: EventColumns
    n_users: int
    n_items: int


class ItemsFrame(msgspec.Struct, frozen=True):
    """The catalogue as it stands from now on."""

    items: Catalogue


class UsersFrame(msgspec.Struct, frozen=True):
    """The users as they stand from now on."""

    users: Catalogue


Frame: TypeAlias = EventsFrame | ItemsFrame | UsersFrame


class State:
    """Everything that serving knows and training does not have to be run for."""

    def __init__(self, rules: tuple[EventType, ...], items: Catalogue, users: Catalogue) -> None:
        self.histories = Histories(rules)
        self.items = items
        self.users = users
        self.types: tuple[str, ...] = ()
        """Event types by code, as the store numbers them."""
        self.seq = -1
        """Of the last frame applied."""
        self._lock = Lock()

    def apply(self, seq: int, frame: Frame) -> None:
        """Fold one frame in. Frames come in the order of `seq`."""
        with self._lock:
            match frame:
                case EventsFrame():
                    self.histories.apply(frame.events, frame.n_users, frame.n_items)
                    self.types = frame.events.types
                case ItemsFrame():
                    self.items = frame.items
                case UsersFrame():
                    self.users = frame.users
            self.seq = max(self.seq, seq)
