"""What the fold takes in: columns that the store gives, of any size, and groups of the journal's frames.

The former come at the opening, after an ingest, and where events came late; the latter as events do.
"""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from recengine.store.events import OrderKind
from recengine.types import Catalogue, EventColumns
from recengine.types.frames import Frame

__all__ = (
    "EventsFrame",
    "Group",
    "HistoriesFrame",
    "ItemsFrame",
    "SessionsFrame",
    "StateFrame",
    "UsersFrame",
)


class EventsFrame(msgspec.Struct, frozen=True):
    """New events of the store, ordered by (user, time, seq)."""

    events: EventColumns
    n_users: int
    n_items: int
    kind: OrderKind | None
    """What their order means."""
    last_event: int
    """The last number that was ever given; those of forgotten events are not given again."""
    whole: bool = False
    """These are all events there are: they make a new base."""
    now: int = 0
    """A moment that is past, as far as is known; it changes what a reader sees no more than the clock does."""


class HistoriesFrame(msgspec.Struct, frozen=True):
    """All events of some users, ordered by (user, time, seq): what stood in the order of arrival is put right."""

    events: EventColumns


class SessionsFrame(msgspec.Struct, frozen=True):
    """The events of the latest visits that the store holds, in the order in which they came."""

    names: Sequence[str]
    events: EventColumns


class ItemsFrame(msgspec.Struct, frozen=True):
    """The catalogue as it stands in the store."""

    items: Catalogue


class UsersFrame(msgspec.Struct, frozen=True):
    """The users as they stand in the store."""

    users: Catalogue


class Group(msgspec.Struct, frozen=True):
    """Frames of the journal that follow each other; `seq` is that of the last."""

    frames: Sequence[Frame]


StateFrame: TypeAlias = EventsFrame | HistoriesFrame | SessionsFrame | ItemsFrame | UsersFrame | Group
