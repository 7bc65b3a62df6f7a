"""What happened in the latest visits, by session id: the history of a visitor who has no other. Part of the fold.

In: events with the session they belong to, in the order of the journal. Out: a `History` a session, replaced whole.

Why no clock: the fold must come to the same live, after a restart and in a replay, so a visit is over when its next
event is too late, or when it is asked for too late; what is over leaves memory as later events come. Events whose order
is no time end no visit: then only the number of visits is bounded.

Memory: for features a visit holds 18 bytes an event, with room for as many again at most, and never for more than
`features.history` events and an eighth: 10 KB at 500, so 1 GB were 100,000 visits all that long. One of ten events
takes 16 x 18 bytes and what Python needs for its objects, about 1 KB with its history.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from recengine.config import EventType, Serving
from recengine.features.interaction import Meanings
from recengine.features.signals import Reading
from recengine.features.trails import Trail
from recengine.online.histories import NOTHING, extended
from recengine.store.homes import Forgotten, home
from recengine.types import MICROSECONDS_FROM, EventColumns, History

__all__ = ("Sessions",)

MINUTE = 60_000_000
_EVENT = np.dtype([("item", np.int32), ("type", np.int16), ("time", np.int64), ("value", np.float32)])
_Rows: TypeAlias = npt.NDArray[np.void]
_SWEPT = 2
"""Visits looked at for every event, oldest first: more than one, so that those that are over become fewer."""
_NONE: _Rows = np.zeros(0, _EVENT)


class _Visit(NamedTuple):
    history: History
    users: frozenset[int]
    """Whose events are in it."""
    owner: int
    """The user of its latest event."""
    last: int
    """The latest time in it."""
    rows: _Rows
    """What happened, as it came, and room: rows that a visit shows are never written again."""
    start: int
    end: int
    """Those shown are `rows[start:end]`."""


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
                row, users, last, shown = NOTHING, frozenset((user,)), time, (_NONE, 0, 0)
            else:
                row, users, last = held.history, held.users | {user}, max(held.last, time)
                shown = held.rows, held.start, held.end
            row = self._bounded(extended(row, item, weight, time, bits, seq, self._meanings.rating(code, value)))
            rows, start, end = self._appended(*shown, (item, code, time, float(value)))
            self._visits[name] = _Visit(row, users, user, last, rows, start, end)
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
        rows = held.rows[held.start : held.end]
        rows = rows[np.argsort(rows["time"], kind="stable")]
        n = len(rows)
        item, code, value, time = (np.ascontiguousarray(rows[name]) for name in ("item", "type", "value", "time"))
        columns = EventColumns(np.zeros(n, np.int64), np.zeros(n, np.int32), item, code, value, time, types)
        return Trail.of(self._reading.of(columns))

    def _appended(
        self, rows: _Rows, start: int, end: int, event: tuple[int, int, int, float]
    ) -> tuple[_Rows, int, int]:
        """Put an event behind those shown, and show the latest; into fresh rows where there is no room."""
        start = max(start, end + 1 - self._trail)
        if end == len(rows):
            kept = rows[start:end]
            room = min(max(4, 2 * len(kept)), self._trail + self._trail // 8 + 1)
            rows, start, end = np.zeros(room, _EVENT), 0, len(kept)
            rows[:end] = kept
        rows[end] = event
        return rows, start, end + 1

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
            None if row.values is None else row.values[-self._limit :].copy(),
        )
