"""Trails: what every user did, oldest first, and the tables that training reads from them.

Below both spines. In: signals, all at once or one after the other. Out: one user's trail for a request, or values of
many (user, item, moment) for training, by the same kernel. "As of t" means events with a time < t.

Why arrays that are never written where a trail was shown: requests read while events arrive. A late event goes into a
copy of its user's trail, and what is given up is collected when the arrays are full.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from recengine.config import Config, microseconds
from recengine.errors import ShapeError
from recengine.features.lanes import Lanes
from recengine.features.signals import BUCKET, Signals
from recengine.kernels import trails as kernel
from recengine.types import F32, F64, I32, I64, MICROSECONDS_FROM

__all__ = (
    "NO_TRAIL",
    "Lookback",
    "Trail",
    "Trails",
    "lookback",
    "lookback_of",
    "read_rows",
    "read_trail",
)

U8: TypeAlias = npt.NDArray[np.uint8]
_SORTED = 32
"""Events in one call from which on they are sorted by user and time first: a user's late ones then go in at once."""

Lookback: TypeAlias = kernel.Spans
"""How far features of users look back; made once, by `lookback` or `lookback_of`."""


def lookback(windows: tuple[int, int, int], history: int, session: int) -> Lookback:
    """Look back over three windows in hours, `history` events at most, and visits that end after `session` us.

    Raises
    ------
    ShapeError : a window below an hour, more than 10,000 events or none, or a length below 0.
    """
    return kernel.spans(windows, history, session)


def lookback_of(config: Config) -> Lookback:
    """Look back as configured."""
    w1, w2, w3 = (microseconds(window) // BUCKET for window in config.features.windows)
    return lookback((w1, w2, w3), config.features.history, round(config.serving.session_minutes * 60e6))


class Trail(NamedTuple):
    """One user's events, oldest first: n of each. `amount` in whole 1,024ths, `flags` as in `signals`."""

    item: I32
    time: I64
    flags: U8
    amount: F64
    timed: bool = True
    """Whether `time` is moments; if not, what needs time is NaN."""

    @classmethod
    def of(cls, signals: Signals) -> "Trail":
        """Make a trail of one user's or visitor's signals, ordered by time."""
        return cls(signals.item, signals.time, signals.flags, signals.amount, signals.timed)


NO_TRAIL = Trail(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0))
"""Of one who did nothing."""


def read_trail(
    trail: Trail,
    lanes: Lanes,
    t: int,
    items: I32,
    look: Lookback,
    out: F32 | None = None,
    wanted: int = kernel.ALL_PAIRS,
) -> tuple[F32, F32]:
    """Read what `read_user` and `read_pairs` read, in one look: float32 (22,) and (7, n).

    Cost: 2 us, 6 ns an event that is looked at, 4 ns an item.
    """
    told = kernel.Events(*trail[:4])
    return kernel.read(told, trail.timed, lanes.versions, look, t, items, wanted=wanted, out=out)


class Trails:
    """What all users did. One thread writes; others may read at any time and see a user before or after an event.

    Memory: 21 bytes an event as made at once, up to 45 where they came one by one, and 16 bytes a user.
    """

    def __init__(self) -> None:
        none = kernel.Events(*NO_TRAIL[:4])
        self._arena = kernel.Arena(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32), none)
        self._end = 0
        self._taken = False
        self._shown = none, _read_only(none)
        self.timed = True

    @classmethod
    def of(cls, signals: Signals, n_users: int) -> "Trails":
        """Take signals ordered by (user, time, seq) as they are, without a copy.

        Raises
        ------
        ShapeError : they are not in order, or a user is not below `n_users`.
        """
        user, time = signals.user, signals.time
        rise = np.diff(user)
        falls = bool(((rise < 0) | ((rise == 0) & (time[1:] < time[:-1]))).any())
        if len(user) and (user[0] < 0 or user[-1] >= n_users or falls):
            raise ShapeError(f"signals: expected order by user and time, users below {n_users}")
        length = np.bincount(user, minlength=n_users).astype(np.int32)
        made = cls()
        start = np.cumsum(length, dtype=np.int64) - length
        events = kernel.Events(signals.item, time, signals.flags, signals.amount)
        made._arena = kernel.Arena(start, length, length.copy(), events)
        made._end = len(user)
        made._taken = True
        made.timed = signals.timed
        return made

    @property
    def n_users(self) -> int:
        """Users that have a row, with events or without."""
        return len(self._arena.start)

    @property
    def memory(self) -> int:
        """Bytes held."""
        arena = self._arena
        return sum(column.nbytes for column in (*arena[:3], *arena.events))

    def apply(self, signals: Signals) -> None:
        """Take later events in; a late one goes by its time, behind those of the same moment.

        Cost: 4 us a call and 0.1 to 0.4 us an event, for they go to many places; a late event copies its user's trail,
        many late ones in one call copy it once; full arrays are copied once.
        """
        n = len(signals.user)
        if n == 0:
            return
        if len(self._arena.events.item) == 0 or not self.timed:
            self.timed = bool(signals.time.max() >= MICROSECONDS_FROM)
        if n >= _SORTED:  # stable: what comes out is the same
            signals = signals.take(np.lexsort((signals.time, signals.user)))
        events = kernel.Events(signals.item, signals.time, signals.flags, signals.amount)
        if self._taken:  # full, and perhaps not to be written to
            self._gather(self._room(n))
        done = 0
        while True:
            done, self._end = kernel.insert(self._arena, self._end, signals.user, events, done)
            if done == n:
                return
            user = int(signals.user[done])
            if user < self.n_users:
                more = int((signals.user[done:] == user).sum())  # all of them may go in at once
                self._gather(self._room(int(self._arena.length[user]) + more))
            else:
                self._widen(user + 1)

    def forget(self, user: int) -> Signals:
        """Take out what a user did, and return it; nothing of it stays in memory, in no copy either.

        Cost: all arrays are copied.
        """
        trail = self.of_user(user)
        row = np.full(len(trail.item), user, np.int32)
        taken = Signals(row, trail.item.copy(), trail.time.copy(), trail.flags.copy(), trail.amount.copy())
        if 0 <= user < self.n_users:
            arena = self._arena
            length, capacity = arena.length.copy(), arena.capacity.copy()
            length[user] = capacity[user] = 0
            self._arena = arena._replace(length=length, capacity=capacity)
            self._gather(1024)
        return taken

    def of_user(self, user: int) -> Trail:
        """Return a user's trail as it is now, read-only; it stays as it is. Cost: 1 us."""
        arena = self._arena  # once: a writer may put another one here
        if not 0 <= user < len(arena.length):
            return Trail(*NO_TRAIL[:4], self.timed)
        length = int(arena.length[user])  # before `start`: a trail that moved is longer at its new place only
        start = int(arena.start[user])
        own = slice(start, start + length)
        events, shown = self._shown
        if events is not arena.events:
            shown = _read_only(arena.events)
            self._shown = arena.events, shown
        return Trail(shown.item[own], shown.time[own], shown.flags[own], shown.amount[own], self.timed)

    @property
    def arena(self) -> kernel.Arena:
        """All trails, as the kernel reads them."""
        return self._arena

    def _widen(self, n_users: int) -> None:
        arena = self._arena
        more = max(n_users - len(arena.start), len(arena.start) // 8)
        none = np.zeros(more, np.int32)
        start = np.append(arena.start, none.astype(np.int64))
        self._arena = kernel.Arena(start, np.append(arena.length, none), np.append(arena.capacity, none), arena.events)

    def _room(self, wanted: int) -> int:
        return max(1024, 2 * wanted, int(self._arena.capacity.sum(dtype=np.int64)) // 2)

    def _gather(self, room: int) -> None:
        self._arena, self._end = kernel.gathered(self._arena, room)
        self._shown = self._arena.events, _read_only(self._arena.events)  # at once: old arrays hold who was forgotten
        self._taken = False


def _read_only(events: kernel.Events) -> kernel.Events:
    """Show events through arrays that nobody can write to; what is cut out of them is like them."""
    shown = kernel.Events(events.item.view(), events.time.view(), events.flags.view(), events.amount.view())
    for column in shown:
        column.flags.writeable = False
    return shown


def read_rows(
    trails: Trails,
    lanes: Lanes,
    look: Lookback,
    users: I32,
    items: I32,
    times: I64,
    out: F32,
    threads: int = 1,
) -> None:
    """Fill a training table: column j holds the user's, the visit's and the pair's values as of `times[j]`.

    Parameters
    ----------
    users, items, times : (m,) int32, int32, int64; a user without a trail did nothing.
    out : (29, m) float32, C-contiguous: `USER_VALUES`, `SESSION_VALUES`, `PAIR_VALUES`.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype.

    Cost: 10 ns an event that is looked at, over `threads`; the same bits for any number of them, and the same as
    `read_user` and `read_pairs` give at that moment.
    """
    kernel.read_rows(trails.arena, trails.timed, lanes.versions, look, users, items, times, out, threads)
