"""What happened in the latest visits, by session id: the history of a visitor who has no other. Part of the fold.

In: events with the session they belong to, in the order of the journal. Out: a `History` a session, replaced whole.

Why no clock: the fold must come to the same live, after a restart and in a replay, so a visit is over when its next
event is too late, or when it is asked for too late; what is over leaves memory as later events come. Events whose order
is no time end no visit: then only the number of visits is bounded.
"""

from collections import OrderedDict
from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from recengine.config import EventType, Serving
from recengine.features.interaction import Meanings
from recengine.features.signals import Reading
from recengine.features.trails import Trail
from recengine.online.histories import NOTHING, extended
from recengine.store.homes import Forgotten, home
from recengine.types import MICROSECONDS_FROM, EventColumns, History

__all__ = ("Sessions",)

MINUTE = 60_000_000
_NONE: tuple[tuple[int, int, int, float], ...] = ()
_SWEPT = 2
"""Visits looked at for every event, oldest first: more than one, so that those that are over become fewer."""


class _Visit(NamedTuple):
    history: History
    users: frozenset[int]
    """Whose events are in it."""
    owner: int
    """The user of its latest event."""
    last: int
    """The latest time in it."""
    events: tuple[tuple[int, int, int, float], ...]
    """Item, type, time and value of the latest ones, as they came."""


@home
class Sessions:
    """Histories of the latest sessions. Written by the fold alone, read by any thread.

    Parameters
    ----------
    rules : what event types mean.
    config : `sessions` bounds their number, `session_minutes` their age, `history_limit` what each holds.
    trail : events of each that features look at, at most.
    """

    def __init__(self, rules: tuple[EventType, ...], config: Serving, trail: int = 500) -> None:
        self._rules = rules
        self._meanings = Meanings((), rules)
        self._most = config.sessions
        self._window = int(config.session_minutes * MINUTE)
        self._limit = config.history_limit
        self._trail = trail
        self._reading = Reading((), rules)
        self._visits: OrderedDict[str, _Visit] = OrderedDict()

    def __len__(self) -> int:
        return len(self._visits)

    def apply(self, names: Sequence[str | None], events: EventColumns) -> None:
        """Fold events in the order of their `seq`; `names` are their sessions, None = in none. About 12 us an event."""
        if events.types is not self._meanings.types:
            self._meanings = Meanings(events.types, self._rules)
        for at in np.argsort(events.seq, kind="stable").tolist():
            name = names[at]
            if name is None:
                continue
            user, item, time, seq = (int(column[at]) for column in (events.user, events.item, events.time, events.seq))
            code, value = int(events.type[at]), events.value[at]
            weight, bits = self._meanings.of(code, value)
            held = self._visits.get(name)
            if held is None or self._apart(held.last, time):
                row, users, last, before = NOTHING, frozenset((user,)), time, _NONE
            else:
                row, users, last = held.history, held.users | {user}, max(held.last, time)
                before = held.events
            row = self._bounded(extended(row, item, weight, time, bits, seq))
            done = (*before, (item, code, time, float(value)))[-self._trail :]
            self._visits[name] = _Visit(row, users, user, last, done)
            self._visits.move_to_end(name)
            self._sweep(time)

    def history(self, name: str, now: int) -> History | None:
        """Return what happened in a session; None where it is unknown or over at `now` (microseconds)."""
        held = self._current(name, now)
        return None if held is None else held.history

    def trail(self, name: str, now: int) -> Trail | None:
        """Return the events of a session, oldest first, as features see them; None as in `history`. Cost: 15 us."""
        held, types = self._current(name, now), self._meanings.types
        if held is None:
            return None
        if self._reading.types is not types:
            self._reading = Reading(types, self._rules)
        item, code, time, value = zip(*sorted(held.events, key=itemgetter(2)), strict=True)
        n = len(item)
        columns = EventColumns(
            np.zeros(n, np.int64),
            np.zeros(n, np.int32),
            np.array(item, np.int32),
            np.array(code, np.int16),
            np.array(value, np.float32),
            np.array(time, np.int64),
            types,
        )
        return Trail.of(self._reading.of(columns))

    def _current(self, name: str, now: int) -> _Visit | None:
        held = self._visits.get(name)
        over = held is not None and held.last >= MICROSECONDS_FROM and now - held.last > self._window
        return None if over else held

    def owner(self, name: str) -> int:
        """Return the user of a session's latest event; -1 = no such session."""
        held = self._visits.get(name)
        return -1 if held is None else held.owner

    def of(self, user: int) -> tuple[str, ...]:
        """Name the sessions that hold anything of a user. Cost: a pass over all sessions."""
        return tuple([name for name, held in self._visits.items() if user in held.users])

    def forget(self, who: Forgotten) -> None:
        """Drop every session that holds anything of the user. Cost: a pass over all sessions."""
        for name in self.of(who.user):
            del self._visits[name]

    def _apart(self, earlier: int, later: int) -> bool:
        """Say whether two moments lie further apart than a visit may pause."""
        both = earlier >= MICROSECONDS_FROM and later >= MICROSECONDS_FROM
        return both and abs(later - earlier) > self._window

    def _sweep(self, time: int) -> None:
        """Drop what is over as of an event; one with a wrong moment drops no more than two visits."""
        visits = self._visits
        while len(visits) > self._most:
            visits.popitem(last=False)
        for _ in range(_SWEPT):
            name = next(iter(visits), None)
            if name is None or not self._apart(visits[name].last, time):
                return
            del visits[name]

    def _bounded(self, row: History) -> History:
        """Keep the latest items; half as many again may gather before the rest goes, so that it goes seldom."""
        if len(row.touched) <= self._limit + self._limit // 2:
            return row
        items = row.items[-self._limit :]
        kept = np.isin(row.touched, items)
        return History(
            items.copy(),
            row.weights[-self._limit :].copy(),
            row.times[-self._limit :].copy(),
            row.touched[kept],
            row.bits[kept],
            row.last_seq,
        )
