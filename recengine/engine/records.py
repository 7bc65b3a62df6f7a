"""What an engine is told while it serves: events, items, users, consents, and who is to be forgotten.

Each call becomes frames of the journal; it returns when they are durable and replies reflect them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recengine.engine.held import Held
from recengine.errors import RecEngineError, UnknownItem, UnknownUser
from recengine.online.arrivals import event_frames, events_of, item_frames, user_frames
from recengine.store.catalog import described, page
from recengine.types import Event, Item, Receipt, User
from recengine.types.frames import ConsentFrame, EraseFrame, ItemFrame

__all__ = ("Records",)


def _now() -> int:
    return time.time_ns() // 1_000


class Records(Held):
    """The telling side of an engine."""

    def record(self, events: Event | Mapping[str, Any] | Sequence[Event | Mapping[str, Any]]) -> Receipt:
        """Store one event or many; returns when they survive a power cut and the users' next replies reflect them.

        Parameters
        ----------
        events : `Event`s or mappings with their fields. An `event_id` makes a repeated delivery count once; events with
            an `order` and none get one made from their content.

        Raises
        ------
        BadRequest : a field is unknown, out of range or of the wrong type; nothing was stored.
        StoreFailed : the disk refused; nothing was stored, the same call may be made again.
        """
        given = events_of(events)
        return self._feedback.put(event_frames(given, self._state, at=_now()))

    def record_soon(self, events: Sequence[Event], done: Callable[[Receipt | RecEngineError], None]) -> None:
        """Store events as `record` does without waiting; `done` is called on another thread with what came of it.

        `events` were decoded, so that their types are right.

        Raises
        ------
        BadRequest : as in `record`, at once; `done` is not called.
        """
        self._feedback.submit(event_frames(events, self._state, at=_now()), done)

    def put_items(self, items: Sequence[Item | Mapping[str, Any]], *, merge: bool = False) -> Receipt:
        """Store versions of items; available ones can be shown from then on.

        Parameters
        ----------
        merge : False: what is not said is gone. True: it stays as it was, and None takes an attribute away.

        Raises
        ------
        BadRequest : an attribute does not have the kind that it has in the store, or a value cannot be kept.
        StoreFailed : as in `record`.
        """
        return self._feedback.put(item_frames(items, self._state, at=_now(), merge=merge))

    def put_users(self, users: Sequence[User | Mapping[str, Any]], *, merge: bool = False) -> Receipt:
        """Store versions of users, as `put_items` does."""
        return self._feedback.put(user_frames(users, self._state, at=_now(), merge=merge))

    def remove_items(self, ids: Sequence[str]) -> int:
        """Take items out of every reply and their attributes away; returns how many were there.

        Their events stay; an item that is put again is back.
        """
        present = [name for name in dict.fromkeys(ids) if self._present(name) >= 0]
        frames = [ItemFrame(name, {}, available=False, valid_from=_now(), merge=False) for name in present]
        return self._feedback.put(frames).stored if frames else 0

    def consent(self, user_id: str, purpose: str, *, granted: bool) -> Receipt:
        """Store that a user allows a purpose, or no longer does.

        Without "personalisation" a user is answered as one of whom nothing is known.
        """
        frame = consent_frame(user_id, purpose, granted=granted, at=_now())
        return self._feedback.put((frame,))

    def forget(self, user_id: str) -> bool:
        """Forget a user in every home of user data; False = nobody has that name.

        What models learned from the user ends with the next training; nothing in them has a name.

        Raises
        ------
        StoreFailed : the disk refused; call again.
        """
        if self._ids.users.row(user_id) < 0:
            return False
        self._feedback.put((EraseFrame(user_id, _now()),))
        self._feedback.flush()
        self._replies.forget(user_id)
        return True

    # ------------------------------------------------------------------------------------------------ looking up

    def item(self, item_id: str) -> Item:
        """Return an item as it stands.

        Raises
        ------
        UnknownItem : there is none, or it was removed.
        """
        row = self._present(item_id)
        if row < 0:
            raise UnknownItem(f"there is no item {item_id!r}", hint="ids are compared as text, exactly")
        return described_item(self._state.items, row, item_id)
