"""What every user did, in memory: the part of the online state that requests read.

A large base (CSR, made in one pass) carries the users that nothing has happened to since; an overlay carries the
touched ones, one `History` each, replaced whole, so that a reader sees a user before or after an event, never between.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from recengine.config import EventType
from recengine.features.interaction import event_bits, event_weights, extend, interactions, seen
from recengine.types import F32, I32, U64, EventColumns, History, Interactions

__all__ = ("Histories",)


_NOTHING = History(
    np.empty(0, np.int32),
    np.empty(0, np.float32),
    np.empty(0, np.int64),
    np.empty(0, np.int32),
    np.empty(0, np.uint64),
    -1,
)


class Histories:
    """Histories of all users. Writers are serialised by the fold (`state.py`).

    Parameters
    ----------
    rules : what event types mean.
    events : ordered by (user, time, seq); the base is made of them. Cost: two sorts.
    """

    def __init__(self, rules: tuple[EventType, ...], events: EventColumns, n_users: int, n_items: int) -> None:
        self._rules = rules
        self._base = interactions(events, event_weights(events, rules), n_users, n_items)
        self._seen = seen(events, event_bits(events, rules), n_users, n_items)
        self._last = np.full(n_users, -1, np.int64)
        np.maximum.at(self._last, events.user, events.seq)
        self._overlay: dict[int, History] = {}

    def apply(self, events: EventColumns) -> I32:
        """Fold later events, ordered by (user, time, seq), in; about 50 us a touched user.

        Returns the rows of users for whom an event came late: their entries are in the order of arrival now, and want
        to be `replace`d by what the store holds.
        """
        weights, bits = event_weights(events, self._rules), event_bits(events, self._rules)
        late: list[int] = []
        cuts = np.flatnonzero(events.user[1:] != events.user[:-1]) + 1
        for block in np.split(np.arange(len(events.user)), cuts) if len(events.user) else ():
            user = int(events.user[block[0]])
            row = self.row(user)
            if len(row.times) and int(events.time[block[0]]) < int(row.times[-1]):
                late.append(user)
            self._overlay[user] = _extended(row, events, weights, bits, block)
        return np.array(late, np.int32)

    def replace(self, events: EventColumns) -> None:
        """Make the rows of some users anew from all their events, ordered by (user, time, seq)."""
        weights, bits = event_weights(events, self._rules), event_bits(events, self._rules)
        cuts = np.flatnonzero(events.user[1:] != events.user[:-1]) + 1
        for block in np.split(np.arange(len(events.user)), cuts) if len(events.user) else ():
            self._overlay[int(events.user[block[0]])] = _extended(_NOTHING, events, weights, bits, block)

    def row(self, user: int) -> History:
        """Return one user's row; an empty one for a user that did nothing."""
        row = self._overlay.get(user)
        if row is not None:
            return row
        base = self._base
        if not 0 <= user < base.n_users:
            return _NOTHING
        lo, hi = base.indptr[user], base.indptr[user + 1]
        first, end = self._seen[0][user], self._seen[0][user + 1]
        return History(
            base.items[lo:hi],
            base.weights[lo:hi],
            base.times[lo:hi],
            self._seen[1][first:end],
            self._seen[2][first:end],
            int(self._last[user]),
        )

    @staticmethod
    def stack(rows: Sequence[History], limit: int, n_items: int) -> Interactions:
        """Stack the latest `limit` entries of each row into one batch."""
        if len(rows) == 1:
            row = rows[0]
            indptr = np.array([0, min(len(row.items), limit)], np.int64)
            return Interactions(1, n_items, indptr, row.items[-limit:], row.weights[-limit:], row.times[-limit:])
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([min(len(row.items), limit) for row in rows], out=indptr[1:])
        if not rows:
            return Interactions(0, n_items, indptr, *_NOTHING[:3])
        items = np.concatenate([row.items[-limit:] for row in rows])
        weights = np.concatenate([row.weights[-limit:] for row in rows])
        times = np.concatenate([row.times[-limit:] for row in rows])
        return Interactions(len(rows), n_items, indptr, items, weights, times)


def _extended(row: History, events: EventColumns, weights: F32, bits: U64, block: npt.NDArray[np.int64]) -> History:
    entries = {int(i): (float(w), int(t)) for i, w, t in zip(row.items, row.weights, row.times, strict=True)}
    touched: dict[int, int] = dict(zip(row.touched.tolist(), row.bits.tolist(), strict=True))
    for at in block.tolist():
        item = int(events.item[at])
        extend(entries, item, float(weights[at]), int(events.time[at]))
        touched[item] = touched.get(item, 0) | int(bits[at])
    order = sorted(touched)
    return History(
        np.fromiter(entries, np.int32, len(entries)),
        np.array([w for w, _ in entries.values()], np.float32),
        np.array([t for _, t in entries.values()], np.int64),
        np.array(order, np.int32),
        np.array([touched[item] for item in order], np.uint64),
        max(row.last_seq, int(events.seq[block].max())),
    )
