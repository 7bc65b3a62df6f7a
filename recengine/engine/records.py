"""What an engine is told while it serves: events, items, users, consents, and who is to be forgotten.

Each call becomes frames of the journal; it returns when they are durable and replies reflect them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recengine.engine.held import Held
from recengine.errors import RecEngineError, UnknownItem, UnknownUser
from recengine.features.described import described
from recengine.online.arrivals import consent_frame, event_frames, events_of, item_frames, user_frames
from recengine.online.pages import page
from recengine.store.decisions import count_decisions
from recengine.store.homes import Forgotten
from recengine.store.sequence import erase_owed
from recengine.store.tables import count_external
from recengine.store.vocab import valid_id
from recengine.types import Event, Item, Receipt, User
from recengine.types.frames import EraseFrame, ItemFrame

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
        return self._feedback.put(event_frames(given, self._state, at=_now(), moments=self._moments))

    def record_soon(self, events: Sequence[Event], done: Callable[[Receipt | RecEngineError], None]) -> None:
        """Store events as `record` does without waiting; `done` is called on another thread with what came of it.

        `events` were decoded, so that their types are right.

        Raises
        ------
        BadRequest : as in `record`, at once; `done` is not called.
        """
        self._feedback.submit(event_frames(events, self._state, at=_now(), moments=self._moments), done)

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
        return self._feedback.put(item_frames(items, self._state, at=_now(), merge=merge, moments=self._moments))

    def put_users(self, users: Sequence[User | Mapping[str, Any]], *, merge: bool = False) -> Receipt:
        """Store versions of users, as `put_items` does."""
        return self._feedback.put(user_frames(users, self._state, at=_now(), merge=merge, moments=self._moments))

    def remove_items(self, ids: Sequence[str]) -> int:
        """Take items out of every reply and their attributes away; returns how many were there.

        Their events stay; an item that is put again is back.
        """
        present = [name for name in dict.fromkeys(ids) if self._standing(self._ids.items.row(name)) is not None]
        frames = [ItemFrame(name, {}, available=False, valid_from=None, merge=False, at=_now()) for name in present]
        return self._feedback.put(frames).stored if frames else 0

    def consent(self, user_id: str, purpose: str, *, granted: bool) -> Receipt:
        """Store that a user allows a purpose, or no longer does.

        Without "personalisation" a user is answered as one of whom nothing is known.
        """
        return self._feedback.put((consent_frame(user_id, purpose, granted=granted, at=_now()),))

    def forget(self, user_id: str) -> bool:
        """Forget a user in every home of user data; False = nothing is known under that name.

        Also one who only asked: its replies were recorded. Visits with events of the user are let go of whole; events
        of others in them stay, in no visit. What models learned from the user ends with the next training; nothing in
        them has a name. Free blocks of the database file and quarantine files are not rewritten: they may keep bytes
        of the user until they are used again, or deleted. A backup, and what is restored from it, holds no free blocks
        and no quarantine.

        Returns when the snapshot and the journal are without the user too; who calls meanwhile shares that snapshot.

        Raises
        ------
        StoreFailed : the disk refused; call again. What was begun is finished by itself, also after a restart.
        """
        if not valid_id(user_id):
            return False
        self._feedback.flush()
        row = self._ids.users.row(user_id)
        known = row >= 0 or count_decisions(self._database, user_id) > 0
        known = known or count_external(self._database, user_id) > 0
        if known:
            self._journal.turn()  # what was before goes with the segments that are dropped
            self._feedback.put((EraseFrame(user_id, _now()),))
            self._replies.forget(Forgotten(row, user_id))
            self._feedback.flush()
        if erase_owed(self._database.read()) is not None:
            self._keeper.forget(Forgotten(row, user_id))
        return known

    # ------------------------------------------------------------------------------------------------ looking up

    def item(self, item_id: str) -> Item:
        """Return an item as it stands.

        Raises
        ------
        UnknownItem : there is none, or it was removed.
        """
        found = self._standing(self._ids.items.row(item_id))
        if found is None:
            raise UnknownItem(f"there is no item {item_id!r}", hint="ids are compared as text, exactly")
        return found

    def user(self, user_id: str) -> User:
        """Return a user as it stands.

        Raises
        ------
        UnknownUser : nobody has that name.
        """
        row = self._ids.users.row(user_id)
        if row < 0:
            raise UnknownUser(f"there is no user {user_id!r}", hint="ids are compared as text, exactly")
        return User(user_id=user_id, attributes=described(self._state.users, row))

    def items(self, after: str = "", limit: int = 100) -> tuple[list[Item], str | None]:
        """List items in the order of first sight, and where to go on; `after` is what the last call gave.

        Raises
        ------
        BadRequest : `after` is no cursor of ours, `limit` is not within 1..1000.

        A page may be shorter than `limit`: removed items are left out of it.
        """
        rows, more = page(after, limit, len(self._ids.items))
        return [item for row in rows if (item := self._standing(row)) is not None], more

    def list_users(self, after: str = "", limit: int = 100) -> tuple[list[User], str | None]:
        """List users, as `items` does."""
        rows, more = page(after, limit, len(self._ids.users))
        names = self._ids.users.ids(np.array(rows, np.int32))
        users = self._state.users
        return [
            User(user_id=n, attributes=described(users, row)) for row, n in zip(rows, names, strict=True) if n
        ], more

    def _standing(self, row: int) -> Item | None:
        """Return the item of a row; None where there is none, or it was removed."""
        items = self._state.items
        if not 0 <= row < items.n:
            return None
        attributes, available = described(items, row), bool(items.available[row])
        if not attributes and not available:
            return None
        return Item(item_id=self._ids.items.id(row), attributes=attributes, available=available)
