"""What features count from events, live: of items, of users, and of both. A part of the online fold.

In: events, all at once or as they come. Out: three states that readers ask. They are functions of the events alone,
whatever the order in which these came; so a late event needs no second reading, and forgetting a user leaves what was
there without that user, to the bit.

Why events wait to be counted: counting one costs 25 us, counting 64 at once 2 us each. Who reads has them counted
first, so nobody sees the difference.
"""

from threading import Lock

import numpy as np

from recengine.config import Config, microseconds
from recengine.features.covisits import SPAN, Covisits, covisits_of, pairs_of
from recengine.features.item import ItemTallies
from recengine.features.signals import BUCKET, ENGAGED, Reading, Signals
from recengine.features.trails import Trail, Trails
from recengine.store.homes import Forgotten, home
from recengine.types import I32, I64, Bools, EventColumns

__all__ = ("EventState",)

WAITING = 64
"""Events that may wait to be counted: a reader has to wait 0.1 ms for them."""
_NEAR = 8
"""Events of a trail among which the last ones engaged in are looked for first."""


@home
class EventState:
    """Counts of items, trails of users, co-visits.

    Written by the fold; any thread may read `settled()`, each part whole.

    Memory: 160 bytes an item and 16 an item and hour with events; 21 to 32 bytes an event; two entries of 8 to 16 bytes
    for each pair of items that goes together.
    """

    def __init__(self, config: Config, n_items: int = 0) -> None:
        self._rules = config.event
        self._reading = Reading((), config.event)
        self._lock = Lock()
        self._waiting: list[EventColumns] = []
        self._count = 0
        self._now = 0
        w1, w2, w3 = (microseconds(window) // BUCKET for window in config.features.windows)
        self.tallies = ItemTallies((w1, w2, w3), microseconds(config.features.half_life) // BUCKET, n_items)
        self.trails = Trails()
        self.covisits = Covisits(n_items)

    @classmethod
    def of(cls, config: Config, events: EventColumns, n_users: int, n_items: int, *, now: int = 0) -> "EventState":
        """Make the state from all there is.

        Parameters
        ----------
        events : ordered by (user, time, seq).
        now : a moment that is past: until it is known to be past, what happens in a later hour counts for no item.

        Cost: 0.5 us an event.
        """
        made = cls(config, n_items)
        signals = made._read(events)
        made.tallies.advance(now)
        made.tallies.apply(signals)
        made.trails = Trails.of(signals, n_users)
        made.covisits = covisits_of(signals, n_items)
        return made

    def apply(self, events: EventColumns, *, now: int = 0) -> None:
        """Fold events in, ordered by (user, time, seq) and later in seq than all before; `now` as in `of`.

        A late event counts as if it had come in time. Cost: 0.5 us a call, 2 us an event.
        """
        with self._lock:
            self._waiting.append(events)
            self._count += len(events.seq)
            self._now = max(self._now, now)
            if self._count >= WAITING:
                self._settle()

    def settled(self) -> "EventState":
        """Count what waits; returns itself. Cost: 0.1 us where nothing does."""
        if self._waiting:
            with self._lock:
                self._settle()
        return self

    def forget(self, who: Forgotten) -> None:
        """Count nothing of a user. Cost: a copy of all trails."""
        with self._lock:
            self._settle()
            gone = self.trails.forget(who.user)
            self.tallies.retract(gone)
            self.covisits.add(*pairs_of(_engaged(Trail.of(gone))), -1)

    @property
    def memory(self) -> int:
        """Bytes held."""
        return self.tallies.memory + self.trails.memory + self.covisits.memory

    def _settle(self) -> None:
        self.tallies.advance(self._now)
        waiting = self._waiting
        if not waiting:
            return
        try:
            signals = self._read(waiting[0] if len(waiting) == 1 else _together(waiting))
            self.tallies.apply(signals)
            self._follow(signals)
        finally:  # not before: who finds nothing waiting reads on, and must see it counted
            self._waiting, self._count = [], 0

    def _read(self, events: EventColumns) -> Signals:
        if events.types is not self._reading.types:
            self._reading = Reading(events.types, self._rules)
        return self._reading.of(events)

    def _follow(self, signals: Signals) -> None:
        """Put events into the trails of their users, and count what they go with.

        After a late event others stand next to one another, so all pairs of its user go out and come in again.
        """
        trails, user = self.trails, signals.user
        first = np.flatnonzero(np.concatenate((np.ones(min(len(user), 1), bool), user[1:] != user[:-1])))
        owners = user[first]
        start, length = _places(trails, owners)
        end, held = start + length, trails.arena.events
        late = length > 0
        late[late] = signals.time[first[late]] < held.time[end[late] - 1]
        late_users = owners[late].tolist()
        for one in late_users:
            self.covisits.add(*pairs_of(_engaged(trails.of_user(one))), -1)
        intime = np.repeat(~late, np.diff(np.append(first, len(user)))) & ((signals.flags & ENGAGED) != 0)
        before, whose = _last_engaged(trails, owners[~late], end[~late], length[~late])
        trails.apply(signals)
        users = np.concatenate((whose, user[intime]))
        order = np.argsort(users, kind="stable")
        items = np.concatenate((before, signals.item[intime]))[order]
        fresh = np.arange(len(users)) >= len(before)
        self.covisits.add(*pairs_of(items, users[order], fresh[order]))
        for one in late_users:
            self.covisits.add(*pairs_of(_engaged(trails.of_user(one))))


def _together(waiting: list[EventColumns]) -> EventColumns:
    """Make one of several, ordered by (user, time, seq); a code means the same type in all, and the last knows all."""
    names = ("seq", "user", "item", "type", "value", "time")
    seq, user, item, code, value, time = (np.concatenate([getattr(one, name) for one in waiting]) for name in names)
    order = np.lexsort((seq, time, user))
    rows = seq[order], user[order], item[order], code[order], value[order], time[order]
    return EventColumns(*rows, waiting[-1].types)


def _engaged(trail: Trail) -> I32:
    items: I32 = trail.item[(trail.flags & ENGAGED) != 0]
    return items


def _places(trails: Trails, users: I32) -> tuple[I64, I64]:
    """Say where trails start, and how long they are; 0 for users who did nothing."""
    arena = trails.arena
    start, length = np.zeros(len(users), np.int64), np.zeros(len(users), np.int64)
    known = users < len(arena.start)
    start[known], length[known] = arena.start[users[known]], arena.length[users[known]]
    return start, length


def _last_engaged(trails: Trails, users: I32, end: I64, length: I64) -> tuple[I32, I32]:
    """Return the items of the last `SPAN` events that each user engaged in, oldest first, and whose they are."""
    held = trails.arena.events
    back = np.arange(_NEAR, 0, -1)
    inside = back <= length[:, None]
    at = np.where(inside, end[:, None] - back, 0)
    if not inside.any():
        return np.empty(0, np.int32), np.empty(0, np.int32)
    engaged: Bools = ((held.flags[at] & ENGAGED) != 0) & inside
    from_end = np.cumsum(engaged[:, ::-1], axis=1)[:, ::-1]
    taken = engaged & (from_end <= SPAN)
    far = np.flatnonzero((from_end[:, 0] < SPAN) & (length > _NEAR))
    taken[far] = False
    items, whose = held.item[at[taken]], np.repeat(users, taken.sum(axis=1))
    if len(far) == 0:
        return items, whose
    parts = [_engaged(trails.of_user(user))[-SPAN:] for user in users[far].tolist()]
    return np.concatenate((items, *parts)), np.concatenate((whose, np.repeat(users[far], [len(p) for p in parts])))
