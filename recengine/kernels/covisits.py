"""The door to the co-visitation kernel: which items are engaged with near one another, live and over history.

Stands under `features/covisits.py`, on both spines. In: pairs of items, and anchors with candidates. Out: how strongly
each candidate goes with the anchors, float32.

Why the arrays of the arena are one tuple that is swapped whole: a request that reads while an event makes the arena
grow then sees the old one or the new one. Counting and reading hold the GIL, so no request sees half a pair.
"""

from typing import Final, NamedTuple

import numpy as np

from recengine._native import covisits as _native
from recengine.errors import EngineFault, ShapeError
from recengine.kernels import array, positive
from recengine.types import F32, F64, I32, I64, U64

__all__ = ("Covisits", "sweep")

_F32, _I32, _I64 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64)
SPARE: Final = 1024
"""Entries kept free at the end of the arena at least."""
BULK: Final = 4096
"""So many pairs at once, where they are a good part of all, are sorted and merged; fewer are inserted."""
FIRST_BITS: Final = 10
"""A sweep's table of pairs begins with 2 ** this slots and doubles when half full."""
MOST_ANCHORS: Final = 100
"""As in `covisits.pyx`."""


class _Arena(NamedTuple):
    entries: U64
    start: I64
    length: I32
    room: I32
    total: I64
    state: I64
    """Entries taken by blocks, and entries that count something."""
    marks: U64
    slot: I32


class Covisits:
    """Counts of pairs of items, each pair both ways.

    Parameters
    ----------
    n_items : items to begin with; more are taken in as they come.

    Cost: 8 bytes an entry and up to as much again of room, two entries a pair; 29 bytes an item.
    """

    def __init__(self, n_items: int = 0) -> None:
        start, length, total = np.zeros(n_items, np.int64), np.zeros(n_items, np.int32), np.zeros(n_items, np.int64)
        self._arena = _laid_out(np.empty(0, np.uint64), start, length, total)
        self._sums: F64 = np.empty(0)

    @property
    def n_items(self) -> int:
        """Items that there is a list for."""
        return len(self._arena.start)

    @property
    def pairs(self) -> int:
        """Different pairs that are counted."""
        return int(self._arena.state[1]) // 2

    @property
    def memory(self) -> int:
        """Bytes held."""
        return self._sums.nbytes + sum(part.nbytes for part in self._arena)

    def add(self, a: I32, b: I32, sign: int = 1) -> None:
        """Count pairs, or with sign -1 take them away again; the order in which they come does not matter.

        Parameters
        ----------
        a, b : int32 (n,), items >= 0; a pair of an item with itself is passed over.
        sign : 1 or -1.

        Raises
        ------
        ShapeError : another shape, dtype or sign, or a negative item.
        EngineFault : a pair is taken away more often than it was counted; those before it are gone already.

        Cost: 0.2 us a pair, and a move of the longer half of each list; in bulk a sort.
        """
        a = array("a", a, _I32, None)
        b = array("b", b, _I32, len(a))
        if sign not in (1, -1):
            raise ShapeError(f"sign: expected 1 or -1, got {sign!r}")
        reach = _native.reach(a, b)
        if reach < 0:
            raise ShapeError("a, b: expected items >= 0, got a negative one")
        self._hold(reach)
        if len(a) >= BULK and len(a) * 4 >= self._arena.state[1]:
            self._merge(a, b, sign)
            return
        done = 0
        while (done := self._insert(a, b, sign, done)) < len(a):
            self.compact()
        if sign < 0 and self._arena.state[0] > 4 * self._arena.state[1] + 4 * SPARE:
            self.compact()

    def _insert(self, a: I32, b: I32, sign: int, done: int) -> int:
        done = _native.add(a, b, sign, done, *self._arena[:6])
        if done < 0:
            raise _missing(int(a[-1 - done]), int(b[-1 - done]))
        return done

    def compact(self) -> None:
        """Lay all lists out anew, a quarter of each and half of all kept free to grow. Cost: a copy of all entries."""
        old = self._arena
        self._arena = _laid_out(old.entries, old.start, old.length, old.total)

    def counts(self, item: int) -> tuple[I32, I32]:
        """Return the neighbours of an item, ascending, and how often each pair was counted."""
        if not 0 <= item < self.n_items:
            return np.empty(0, np.int32), np.empty(0, np.int32)
        start, length = int(self._arena.start[item]), int(self._arena.length[item])
        mine = self._arena.entries[start : start + length]
        return (mine >> np.uint64(32)).astype(np.int32), (mine & np.uint64(0xFFFFFFFF)).astype(np.int32)

    def strength(self, anchors: I32, items: I32, out: F32 | None = None) -> F32:
        """Say how strongly items go with anchors.

        strength(i) = sum over anchors x, in their order, of c(x, i) / sqrt(d(x) d(i)): c is how often the pair was
        counted, d the sum of c over all neighbours; in float64, rounded once. Co-visits as in Linden et al. 2003, with
        the symmetric normalisation of a graph (Ng, Jordan and Weiss 2002).

        Parameters
        ----------
        anchors : int32 (k,); unknown ones say nothing.
        items : int32 (n,), in any order; 0.0 for unknown ones and for an anchor as to itself.
        out : float32 (n,), C-contiguous, is filled and returned where given.

        Cost: 0.8 ns for each entry of the anchors' lists, at most 24 n an anchor, plus 4 ns an item.
        """
        anchors, items = array("anchors", anchors, _I32, None), array("items", items, _I32, None)
        if out is None:
            out = np.empty(len(items), np.float32)
        elif array("out", out, _F32, len(items)) is not out:
            raise ShapeError("out: expected a C-contiguous array")
        sums = self._sums  # once: another reader may put a shorter one here meanwhile
        if len(sums) < len(items):
            sums = self._sums = np.empty(max(1024, len(items)))
        entries, start, length, _, total, _, marks, slot = self._arena
        _native.strength(anchors, items, entries, start, length, total, marks, slot, sums, out)
        return out

    def _hold(self, n_items: int) -> None:
        """Take in items up to `n_items`, by doubling."""
        old = self._arena
        if n_items <= len(old.start):
            return
        more = max(n_items, 2 * len(old.start)) - len(old.start)
        start, length, room, total, slot = (
            np.concatenate((part, np.zeros(more, part.dtype)))
            for part in (old.start, old.length, old.room, old.total, old.slot)
        )
        marks = np.zeros(len(start) // 64 + 1, np.uint64)
        self._arena = _Arena(old.entries, start, length, room, total, old.state, marks, slot)

    def _merge(self, a: I32, b: I32, sign: int = 1) -> None:
        """Sort pairs, sum equal ones, and merge them with what is there; changes nothing where that fails."""
        differ = a != b
        high, low = a[differ].astype(np.uint64), b[differ].astype(np.uint64)
        keys, counts = _summed(np.sort(np.concatenate((high << _HALF | low, low << _HALF | high))), None)
        held = self._arena
        if held.state[1]:
            begin = np.cumsum(held.length, dtype=np.int64) - held.length
            packed = np.empty(int(held.state[1]), np.uint64)
            _native.relay(held.entries, held.start, held.length, packed, begin)
            owner = np.repeat(np.arange(self.n_items, dtype=np.uint64), held.length)
            keys = np.concatenate((owner << _HALF | packed >> _HALF, keys))
            counts = np.concatenate(((packed & _LOW).astype(np.int64), sign * counts))
            order = np.argsort(keys, kind="stable")  # two sorted runs: one merge
            keys, counts = _summed(keys[order], counts[order])
        elif sign < 0:
            counts = -counts
        if len(counts) and counts.min() < 0:
            pair = int(keys[np.argmin(counts)])
            raise _missing(pair >> 32, pair & 0xFFFFFFFF)
        left = counts > 0
        keys, counts = keys[left], counts[left]
        owner = (keys >> _HALF).astype(np.int64)
        length = np.bincount(owner, minlength=self.n_items)
        total = np.bincount(owner, counts, self.n_items).astype(np.int64)  # whole numbers below 2^53: exact
        entries = (keys & _LOW) << _HALF | counts.astype(np.uint64)
        self._arena = _laid_out(entries, np.cumsum(length) - length, length.astype(np.int32), total)


_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


def _summed(keys: U64, counts: I64 | None) -> tuple[U64, I64]:
    """Make one of equal keys, which stand together; a key without counts counts 1."""
    starts = np.flatnonzero(np.concatenate((np.ones(min(len(keys), 1), bool), keys[1:] != keys[:-1])))
    if counts is None:
        return keys[starts], np.diff(np.concatenate((starts, [len(keys)])))
    return keys[starts], np.add.reduceat(counts, starts) if len(starts) else counts


def _laid_out(entries: U64, start: I64, length: I32, total: I64) -> _Arena:
    """Copy lists into a new arena where each has room to grow, and all have."""
    room = np.where(length > 0, length + length // 4 + 2, 0).astype(np.int32)
    begin = np.cumsum(room, dtype=np.int64) - room
    used = int(room.sum(dtype=np.int64))
    laid = np.empty(used + max(used // 2, SPARE), np.uint64)
    _native.relay(entries, start, length, laid, begin)
    state = np.array([used, length.sum(dtype=np.int64)], np.int64)
    marks, slot = np.zeros(len(start) // 64 + 1, np.uint64), np.zeros(len(start), np.int32)
    return _Arena(laid, begin, length.copy(), room, total.copy(), state, marks, slot)


def _missing(a: int, b: int) -> EngineFault:
    return EngineFault(f"covisits: the pair ({a}, {b}) is taken away more often than it was counted")


def sweep(
    event_users: I32, event_items: I32, event_times: I64, users: I32, items: I32, times: I64, n_anchors: int, span: int
) -> F32:
    """Answer probes from the history before each, as `Covisits.strength` would have then, to the bit.

    An event pairs its item with those of the user's `span` events before it. A probe (user, item, time) has as anchors
    the items of the user's last `n_anchors` events before `time`, an item that repeats counting at its latest place,
    latest first. Events at `time` itself are not seen yet.

    Parameters
    ----------
    event_users, event_items, event_times : int32, int32, int64 (n,), in any order; equal times count in the order
        given. Rows >= 0.
    users, items, times : int32, int32, int64 (m,), in any order; a user or item without events gets 0.
    n_anchors : 1 to 100.
    span : >= 1.

    Returns
    -------
    float32 (m,).

    Raises
    ------
    ShapeError : another shape or dtype, a negative row of an event, or `n_anchors` out of range.

    Cost: two sorts, and for each event and each anchor of a probe about one cache miss; 32 bytes a pair at most, and 16
    an event. Releases the GIL.
    """
    event_users = array("event_users", event_users, _I32, None)
    event_items = array("event_items", event_items, _I32, len(event_users))
    event_times = array("event_times", event_times, _I64, len(event_users))
    users = array("users", users, _I32, None)
    items, times = array("items", items, _I32, len(users)), array("times", times, _I64, len(users))
    if positive("n_anchors", n_anchors) > MOST_ANCHORS:
        raise ShapeError(f"n_anchors: expected at most {MOST_ANCHORS}, got {n_anchors}")
    n_users, n_items = _native.reach(event_users, event_users), _native.reach(event_items, event_items)
    if min(n_users, n_items) < 0:
        raise ShapeError("event_users, event_items: expected rows >= 0, got a negative one")
    by_time = np.argsort(event_times, kind="stable")
    events = (event_users[by_time], event_items[by_time], event_times[by_time])
    counts = np.bincount(event_users, minlength=n_users)
    start = np.cumsum(counts, dtype=np.int64) - counts
    end, seen, total = start.copy(), np.empty(len(by_time), np.int32), np.zeros(n_items, np.int64)
    bits = FIRST_BITS
    pairs = np.zeros(2 << bits, np.uint64)
    progress, out = np.zeros(3, np.int64), np.empty(len(users), np.float32)
    asked = (np.argsort(times, kind="stable"), users, items, times, n_anchors, positive("span", span))
    while not _native.sweep(*events, *asked, start, end, seen, total, pairs, 64 - bits, progress, out):
        bits += 1
        wider = np.zeros(2 << bits, np.uint64)
        _native.rehash(pairs, wider, 64 - bits)
        pairs = wider
    return out
