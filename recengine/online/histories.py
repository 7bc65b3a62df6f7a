"""What every user did, in memory: the part of the online state that requests read.

A large base (CSR, made in one pass) carries the users that nothing has happened to since; an overlay carries the
touched ones, one `History` each, replaced whole, so that a reader sees a user before or after an event, never between.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from recengine.config import EventType
from recengine.features.interaction import NO_VALUE, Meanings, added, extend, interactions, seen
from recengine.store.homes import Forgotten, home
from recengine.types import F32, I32, EventColumns, History, Interactions

__all__ = ("NOTHING", "Happening", "Held", "Histories", "extended", "folded", "together")


_Array: TypeAlias = npt.NDArray[Any]
Happening: TypeAlias = tuple[int, float, int, int, int, float]
"""Item, weight, time, bits, seq, rating (NaN = none)."""

NOTHING = History(
    np.empty(0, np.int32),
    np.empty(0, np.float32),
    np.empty(0, np.int64),
    np.empty(0, np.int32),
    np.empty(0, np.uint64),
    -1,
)


class Held(NamedTuple):
    """All histories at one moment: those that nothing happened to since the base was made, and the others by row."""

    base: Interactions
    overlay: dict[int, History]


@home
class Histories:
    """Histories of all users. Writers are serialised by the fold (`state.py`).

    Parameters
    ----------
    rules : what event types mean.
    events : ordered by (user, time, seq); the base is made of them. Cost: two sorts.
    """

    def __init__(self, rules: tuple[EventType, ...], events: EventColumns, n_users: int, n_items: int) -> None:
        self._rules = rules
        self._meanings = Meanings(events.types, rules)
        weights, rated = self._meanings.weigh(events), self._meanings.ratings(events)
        self._base = interactions(events, weights, n_users, n_items, rated)
        self._seen = seen(events, self._meanings.bits[events.type], n_users, n_items)
        self._last = np.full(n_users, -1, np.int64)
        np.maximum.at(self._last, events.user, events.seq)
        self._overlay: dict[int, History] = {}
        self._untouched = object()
        self._touched: dict[int, object] = {}

    def apply(self, events: EventColumns) -> I32:
        """Fold later events, ordered by (user, time, seq), in.

        Returns the rows of users for whom an event came late: their entries are in the order of arrival now, and want
        to be `replace`d by what the store holds.
        Cost: about 10 us an event for a short history; the whole history is copied, 140 kB at 5,000 entries.
        """
        late: list[int] = []
        for user, block in _blocks(events, self.meanings(events.types)):
            row = self.row(user)
            if len(row.times) and block[0][2] < row.times[-1]:
                late.append(user)
            self._put(user, folded(row, block))
        return np.array(late, np.int32)

    def replace(self, events: EventColumns) -> None:
        """Make the rows of some users anew from all their events, ordered by (user, time, seq)."""
        for user, block in _blocks(events, self.meanings(events.types)):
            self._put(user, folded(NOTHING, block))

    def forget(self, who: Forgotten) -> None:
        """Let a user have done nothing; the base is without the events when it is made the next time."""
        self._put(who.user, NOTHING)

    def held(self) -> Held:
        """Return what is held now, to be put `together` while the fold goes on. Cost: a copy of references."""
        return Held(self._base, self._overlay.copy())

    def token(self, user: int) -> object:
        """Return what is another object as soon as something happened to the user; it holds nothing."""
        return self._touched.get(user, self._untouched)

    def _put(self, user: int, row: History) -> None:
        self._overlay[user] = row
        self._touched[user] = object()  # after the row: who has this token sees it

    def meanings(self, types: tuple[str, ...]) -> Meanings:
        """Return what event types mean, `types` being their names by code."""
        held = self._meanings  # once, since the fold and requests both come here
        if types is not held.types and types != held.types:
            held = self._meanings = Meanings(types, self._rules)
        return held

    def row(self, user: int) -> History:
        """Return one user's row; an empty one for a user that did nothing."""
        row = self._overlay.get(user)
        if row is not None:
            return row
        base = self._base
        if not 0 <= user < base.n_users:
            return NOTHING
        lo, hi = base.indptr[user], base.indptr[user + 1]
        first, end = self._seen[0][user], self._seen[0][user + 1]
        return History(
            base.items[lo:hi],
            base.weights[lo:hi],
            base.times[lo:hi],
            self._seen[1][first:end],
            self._seen[2][first:end],
            int(self._last[user]),
            None if base.values is None else base.values[lo:hi],
        )

    @staticmethod
    def stack(rows: Sequence[History], limit: int, n_items: int) -> Interactions:
        """Stack the latest `limit` entries of each row into one batch."""
        if len(rows) == 1:
            row = rows[0]
            indptr = np.array([0, min(len(row.items), limit)], np.int64)
            kept = row.items[-limit:], row.weights[-limit:], row.times[-limit:]
            return Interactions(1, n_items, indptr, *kept, None if row.values is None else row.values[-limit:])
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([min(len(row.items), limit) for row in rows], out=indptr[1:])
        if not rows:
            return Interactions(0, n_items, indptr, *NOTHING[:3])
        items = np.concatenate([row.items[-limit:] for row in rows])
        weights = np.concatenate([row.weights[-limit:] for row in rows])
        times = np.concatenate([row.times[-limit:] for row in rows])
        return Interactions(len(rows), n_items, indptr, items, weights, times, _stacked(rows, limit))


def _stacked(rows: Sequence[History], limit: int) -> F32 | None:
    """Stack the ratings; None where no row has any."""
    if all(row.values is None for row in rows):
        return None
    return np.concatenate([_ratings(row)[-limit:] for row in rows])


def _ratings(row: History) -> F32:
    return np.full(len(row.items), np.nan, np.float32) if row.values is None else row.values


def together(held: Held, n_users: int, n_items: int) -> Interactions:
    """Lay all histories out as one, whole, as models learn from them.

    Parameters
    ----------
    n_users, n_items : rows there are, at least as many as `held` has.

    Cost: a copy, about 20 ns an entry.
    """
    base, overlay = held
    lengths = np.zeros(n_users, np.int64)
    lengths[: base.n_users] = np.diff(base.indptr)
    still = np.ones(n_users, np.bool_)
    touched = sorted(overlay)
    still[touched] = False
    lengths[touched] = [len(overlay[user].items) for user in touched]
    indptr = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    from_base = np.repeat(still[: base.n_users], np.diff(base.indptr))
    to = np.repeat(still, lengths)
    columns = []
    for name in ("items", "weights", "times"):
        column = np.empty(int(indptr[-1]), getattr(base, name).dtype)
        column[to] = getattr(base, name)[from_base]
        for user in touched:
            column[indptr[user] : indptr[user + 1]] = getattr(overlay[user], name)
        columns.append(column)
    items, weights, times = columns
    if base.values is None and all(overlay[user].values is None for user in touched):
        return Interactions(n_users, n_items, indptr, items, weights, times)
    values = np.full(int(indptr[-1]), np.nan, np.float32)
    if base.values is not None:
        values[to] = base.values[from_base]
    for user in touched:
        values[indptr[user] : indptr[user + 1]] = _ratings(overlay[user])
    return Interactions(n_users, n_items, indptr, items, weights, times, None if np.isnan(values).all() else values)


def _blocks(events: EventColumns, meanings: Meanings) -> Iterator[tuple[int, list[Happening]]]:
    """Give the events of one user after the other."""
    block: list[Happening] = []
    held = -1
    values = events.value
    for at, (user, item, code, time, seq) in enumerate(
        zip(
            events.user.tolist(),
            events.item.tolist(),
            events.type.tolist(),
            events.time.tolist(),
            events.seq.tolist(),
            strict=True,
        )
    ):
        if user != held:
            if block:
                yield held, block
            block, held = [], user
        weight, bits = meanings.of(code, values[at])
        block.append((item, weight, time, bits, seq, meanings.rating(code, values[at])))
    if block:
        yield held, block


def folded(row: History, block: list[Happening]) -> History:
    """Fold a user's events in one by one, or, where that copies the history too often, all at once."""
    if len(block) * 16 > len(row.items) + 64:  # 10 us an event against 0.5 us an entry
        return _rebuilt(row, block)
    for event in block:
        row = extended(row, *event)
    return row


def extended(
    row: History, item: int, weight: float, time: int, bits: int, seq: int, value: float = NO_VALUE
) -> History:
    """Return the history after one more event: what `extend` says, on arrays. `row` stays as it is.

    Cost: 10 us; arrays that do not change are shared.
    """
    items, weights, times, touched, marks, last_seq, values = row
    at = int(touched.searchsorted(np.int32(item)))
    known = at < len(touched) and touched[at] == item
    if not known:
        touched, marks = _inserted(touched, at, item), _inserted(marks, at, bits)
    elif (both := int(marks[at]) | bits) != marks[at]:
        marks = marks.copy()
        marks[at] = both
    last_seq = max(last_seq, seq)
    if weight == 0:
        return History(items, weights, times, touched, marks, last_seq, values)
    end = len(items)
    place = _place(items, item) if known else end
    if place < end and time < times[place]:  # late
        held = float(weights[place])
        if weight > 0 and held > 0:
            weights = weights.copy()
            weights[place] = added(held, weight)
        if not math.isnan(value) and (values is None or math.isnan(values[place])):
            values = _ratings(row).copy()
            values[place] = value
        return History(items, weights, times, touched, marks, last_seq, values)
    if weight > 0 and place < end:
        weight = added(max(float(weights[place]), 0.0), weight)
    if values is not None or not math.isnan(value):
        values = _ratings(row)
        if math.isnan(value) and place < end:
            value = float(values[place])
        values = _moved(values, place, value)
    return History(
        _moved(items, place, item),
        _moved(weights, place, weight),
        _moved(times, place, time),
        touched,
        marks,
        last_seq,
        values,
    )


def _place(items: I32, item: int) -> int:
    """Find an item, the latest quickest; len(items) where it is not."""
    end = len(items)
    if end == 0 or items[-1] == item:
        return max(end - 1, 0)
    place = int((items == np.int32(item)).argmax())
    return place if items[place] == item else end


def _inserted(values: _Array, at: int, value: int) -> _Array:
    out = np.empty(len(values) + 1, values.dtype)
    out[:at] = values[:at]
    out[at] = value
    out[at + 1 :] = values[at:]
    return out


def _moved(values: _Array, place: int, value: float) -> _Array:
    """Take out what stands at `place`, if anything, and append."""
    end = len(values)
    if place >= end - 1:
        out = np.empty(place + 1, values.dtype)
        out[:place] = values[:place]
    else:
        out = np.empty(end, values.dtype)
        out[:place] = values[:place]
        out[place:-1] = values[place + 1 :]
    out[-1] = value
    return out


def _rebuilt(row: History, block: list[Happening]) -> History:
    held = zip(row.weights.tolist(), row.times.tolist(), _ratings(row).tolist(), strict=True)
    entries = dict(zip(row.items.tolist(), held, strict=True))
    touched: dict[int, int] = dict(zip(row.touched.tolist(), row.bits.tolist(), strict=True))
    for item, weight, time, bits, _, value in block:
        extend(entries, item, weight, time, value)
        touched[item] = touched.get(item, 0) | bits
    order = sorted(touched)
    return History(
        np.fromiter(entries, np.int32, len(entries)),
        np.array([w for w, _, _ in entries.values()], np.float32),
        np.array([t for _, t, _ in entries.values()], np.int64),
        np.array(order, np.int32),
        np.array([touched[item] for item in order], np.uint64),
        max(row.last_seq, *(event[4] for event in block)),
        None if all(math.isnan(v) for _, _, v in entries.values()) else _column(entries),
    )


def _column(entries: dict[int, tuple[float, int, float]]) -> F32:
    return np.array([value for _, _, value in entries.values()], np.float32)
