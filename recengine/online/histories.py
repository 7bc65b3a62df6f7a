"""What every user did, in memory: the part of the online state that requests read.

A large base (CSR, made in one pass) carries the users that nothing has happened to since; an overlay carries the
touched ones. Both hold the same two rows a user: entries (item, weight, time; oldest first) as models see them, and
touched items with the bits of the event types.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recengine.config import EventType
from recengine.features.interaction import event_weights, extend, interactions, seen
from recengine.types import F32, I32, I64, U32, EventColumns, Interactions

__all__ = ("Histories",)

Row = tuple[I32, F32, I64]
_NOTHING: Row = (np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.int64))


class Histories:
    """Entries and touched items of all users.

    Not locked: writers are serialised by the fold (`state.py`); a reader sees a user's row before or after an
    event, never between.
    """

    def __init__(self, rules: tuple[EventType, ...]) -> None:
        self._rules = rules
        self._entries = Interactions(0, 0, np.zeros(1, np.int64), *_NOTHING)
        self._seen: tuple[I64, I32, U32] = (np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.uint32))
        self._last = np.empty(0, np.int64)
        self._overlay: dict[int, Row] = {}
        self._overlay_seen: dict[int, tuple[I32, U32]] = {}
        self._overlay_last: dict[int, int] = {}

    def apply(self, events: EventColumns, n_users: int, n_items: int) -> None:
        """Fold events, ordered by (user, time, seq), in. Cost.

        Two sorts for the first batch, then about 50 us a touched user.
        """
        if len(events.seq) == 0:
            return
        weights = event_weights(events, self._rules)
        if self._entries.n_users == 0:
            self._entries = interactions(events, weights, n_users, n_items)
            self._seen = seen(events, n_users, n_items)
            self._last = np.full(n_users, -1, np.int64)
            np.maximum.at(self._last, events.user, events.seq)
            return
        cuts = np.flatnonzero(np.diff(events.user)) + 1
        for block in np.split(np.arange(len(events.user)), cuts):
            self._touch(int(events.user[block[0]]), events, weights, block)

    def entries(self, user: int) -> Row:
        """Return one user's (items, weights, times), oldest first; read-only by convention."""
        row = self._overlay.get(user)
        if row is not None:
            return row
        base = self._entries
        if not 0 <= user < base.n_users:
            return _NOTHING
        lo, hi = base.indptr[user], base.indptr[user + 1]
        return base.items[lo:hi], base.weights[lo:hi], base.times[lo:hi]

    def touched(self, user: int, bits: int) -> I32:
        """Return the items that an event of one of the types in `bits` touched."""
        items, held = self._seen_row(user)
        touched: I32 = items[(held & np.uint32(bits)) != 0]
        return touched

    def last_seq(self, user: int) -> int:
        """Return the number of the user's last event; -1 = none."""
        last = self._overlay_last.get(user)
        if last is not None:
            return last
        return int(self._last[user]) if 0 <= user < len(self._last) else -1

    def gather(self, users: Sequence[int], limit: int, n_items: int) -> Interactions:
        """Stack the latest `limit` entries of each user into one batch."""
        if len(users) == 1:
            items, weights, times = self.entries(users[0])
            indptr = np.array([0, min(len(items), limit)], np.int64)
            return Interactions(1, n_items, indptr, items[-limit:], weights[-limit:], times[-limit:])
        rows = [self.entries(user) for user in users]
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([min(len(row[0]), limit) for row in rows], out=indptr[1:])
        items, weights, times = (
            (np.concatenate([row[part][-limit:] for row in rows]) for part in range(3)) if rows else _NOTHING
        )
        return Interactions(len(rows), n_items, indptr, items, weights, times)

    def _touch(self, user: int, events: EventColumns, weights: F32, block: npt.NDArray[np.int64]) -> None:
        items, held, times = self.entries(user)
        entries = {int(i): (float(w), int(t)) for i, w, t in zip(items, held, times, strict=True)}
        bits = dict(zip(*(part.tolist() for part in self._seen_row(user)), strict=True))
        for at in block.tolist():
            item = int(events.item[at])
            extend(entries, item, float(weights[at]), int(events.time[at]))
            bits[item] = bits.get(item, 0) | 1 << min(int(events.type[at]), 31)
        self._overlay[user] = (
            np.fromiter(entries, np.int32, len(entries)),
            np.array([w for w, _ in entries.values()], np.float32),
            np.array([t for _, t in entries.values()], np.int64),
        )
        touched = sorted(bits)
        self._overlay_seen[user] = np.array(touched, np.int32), np.array([bits[i] for i in touched], np.uint32)
        self._overlay_last[user] = max(self.last_seq(user), int(events.seq[block].max()))

    def _seen_row(self, user: int) -> tuple[I32, U32]:
        row = self._overlay_seen.get(user)
        if row is not None:
            return row
        if not 0 <= user < len(self._seen[0]) - 1:
            return np.empty(0, np.int32), np.empty(0, np.uint32)
        lo, hi = self._seen[0][user], self._seen[0][user + 1]
        return self._seen[1][lo:hi], self._seen[2][lo:hi]
