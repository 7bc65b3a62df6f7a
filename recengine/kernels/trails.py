"""Keep what users did, and read values from it.

Stands under the features of users, visits and pairs, in training and serving alike. In: events of users as flat
arrays, and what items are by version. Out: values, float32. Definitions: `features/{user,session,pairs}.py`.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from recengine._native import trails as _native
from recengine.errors import ShapeError
from recengine.kernels import array, bad_indptr, positive
from recengine.types import F32, F64, I32, I64

__all__ = (
    "MOST",
    "PAIR",
    "SESSION",
    "USER",
    "Arena",
    "Events",
    "Versions",
    "gathered",
    "insert",
    "read_pairs",
    "read_rows",
    "read_user",
)

USER, SESSION, PAIR = 17, 5, 7
"""How many values there are of each."""
MOST = 10_000
"""Events that are looked at, at most."""
U8: TypeAlias = npt.NDArray[np.uint8]
_I32, _I64, _U8, _F64 = np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.uint8), np.dtype(np.float64)


class Events(NamedTuple):
    """Events without their users: `amount` in whole 1,024ths, `flags` as in `features/signals.py`."""

    item: I32
    time: I64
    flags: U8
    amount: F64


class Versions(NamedTuple):
    """What items are: rows `indptr[i]:indptr[i + 1]` are item i's, the k-th counts from `times[k]` on."""

    indptr: I64
    times: I64
    lanes: I32
    """(K, 4): category, brand, the bits of the float32 price, 0; -1 and NaN where missing."""
    plain: bool
    """Every item has exactly one row, which counts since ever."""


class Arena(NamedTuple):
    """Trails of all users: user u's is `events[start[u]:start[u] + length[u]]`, with room for `capacity[u]`."""

    start: I64
    length: I32
    capacity: I32
    events: Events


def read_user(events: Events, timed: bool, versions: Versions, spans: I64, terms: I64, t: int) -> F32:
    """Read the values of a user and the current visit from the latest events before t.

    Parameters
    ----------
    events : one user's, oldest first.
    timed : whether times are moments in microseconds; if not, what needs time is NaN.
    versions : as `features/lanes.py` makes and checks them.
    spans : (5,) int64: three windows in hours, events to look at (1 .. MOST), microseconds that end a visit.
    terms : (> events to look at,) int64: round(2^32 n log2 n).
    t : microseconds.

    Returns
    -------
    (USER + SESSION,) float32.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype.

    Cost: 1 us and about 8 ns an event looked at.  Oracle: tests/oracles/trails.py
    """
    out = np.empty(USER + SESSION, np.float32)
    told = (*_checked(events), timed, *_versions(versions), *_spans(spans, terms))
    _native.read_user(*told, t, _cells(len(events.item), spans, 2), out)
    return out


def read_pairs(events: Events, timed: bool, versions: Versions, spans: I64, terms: I64, t: int, items: I32) -> F32:
    """Read the values of a user with each of n items; parameters as in `read_user`.

    Parameters
    ----------
    items : (n,) int32; one that `versions` does not hold has neither category nor brand.

    Returns
    -------
    (PAIR, n) float32.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype.

    Cost: 1 us, about 10 ns an event looked at and 5 ns an item.  Oracle: tests/oracles/trails.py
    """
    items = array("items", items, _I32, None)
    out = np.empty((PAIR, len(items)), np.float32)
    told = (*_checked(events), timed, *_versions(versions), *_spans(spans, terms))
    _native.read_pairs(*told, t, _cells(len(events.item), spans, 3), items, out)
    return out


def read_rows(
    arena: Arena,
    timed: bool,
    versions: Versions,
    spans: I64,
    terms: I64,
    users: I32,
    items: I32,
    times: I64,
    out: F32,
    threads: int = 1,
) -> None:
    """Fill a training table: column j is what `read_user` and `read_pairs` say of probe j.

    Parameters
    ----------
    users, items, times : (m,) int32, int32, int64; a user outside the arena did nothing.
    out : (USER + SESSION + PAIR, m) float32, C-contiguous.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype, or a trail lies outside the arena.

    Cost: about 10 ns an event looked at, over `threads`; the same bits for any.  Oracle: tests/oracles/trails.py
    """
    users = array("users", users, _I32, None)
    items, times = array("items", items, _I32, len(users)), array("times", times, _I64, len(users))
    threads = positive("threads", threads)
    start = array("start", arena.start, _I64, None)
    length = array("length", arena.length, _I32, len(start))
    held = _checked(arena.events)
    if len(start) and (start.min() < 0 or length.min() < 0 or (start + length).max() > len(held.item)):
        raise ShapeError(f"start: expected trails within {len(held.item)} events")
    wanted = (USER + SESSION + PAIR, len(users))
    if out.shape != wanted or out.dtype != np.float32 or not out.flags.c_contiguous or not out.flags.writeable:
        raise ShapeError(f"out: expected writeable contiguous float32 {wanted}, got {out.dtype} {out.shape}")
    longest = int(length.max(initial=0))
    cells = np.empty((threads, len(_cells(longest, spans, 2))), np.int32)
    told = (*_versions(versions), *_spans(spans, terms))
    _native.read_rows(start, length, *held, timed, *told, users, items, times, cells, out, threads)


def insert(arena: Arena, end: int, users: I32, events: Events, first: int) -> tuple[int, int]:
    """Put events [first, n) into their users' trails, behind those of the same moment or before; writes into `arena`.

    What a trail showed before stays where it is: a late event goes into a copy, so that who reads meanwhile sees all
    of the old trail or all of the new one, given that it reads `length` before `start`.

    Parameters
    ----------
    end : events of the arena that are taken; the rest is room.
    users : (n,) int32, rows of the arena.

    Returns
    -------
    the event before which the room was at its end (n = all are in), and the new `end`.

    Cost: 2 us a call and 20 ns an event; a late one copies the trail.
    """
    users = array("users", users, _I32, None)
    if len(users) and (users.min() < 0 or users.max() >= len(arena.start)):
        raise ShapeError(f"users: expected rows below {len(arena.start)}")
    told = _checked(events)
    if len(told.item) != len(users):
        raise ShapeError(f"users: expected int32 ({len(told.item)}), got int32 {users.shape}")
    done: tuple[int, int] = _native.insert(*arena[:3], *arena.events, end, users, *told, first)
    return done


def gathered(arena: Arena, room: int) -> tuple[Arena, int]:
    """Return the same trails in fresh arrays, one behind the other, with `room` events to spare; and where they end.

    Cost: a copy.
    """
    start = np.cumsum(arena.capacity, dtype=np.int64)
    end = int(start[-1]) if len(start) else 0
    start -= arena.capacity
    size = end + room
    events = Events(np.empty(size, np.int32), np.empty(size, np.int64), np.empty(size, np.uint8), np.empty(size))
    _native.gather(arena.start, arena.length, *arena.events, start, *events)
    return Arena(start, arena.length.copy(), arena.capacity.copy(), events), end


def _checked(events: Events) -> Events:
    item = array("item", events.item, _I32, None)
    n = len(item)
    time, flags = array("time", events.time, _I64, n), array("flags", events.flags, _U8, n)
    return Events(item, time, flags, array("amount", events.amount, _F64, n))


def _versions(versions: Versions) -> Versions:
    lanes = array("lanes", versions.lanes, _I32, None, 4)
    indptr = array("indptr", versions.indptr, _I64, None)
    if len(indptr) == 0 or indptr[-1] != len(lanes) or (versions.plain and len(lanes) != len(indptr) - 1):
        raise bad_indptr(max(len(indptr) - 1, 0))
    return Versions(indptr, array("times", versions.times, _I64, len(lanes)), lanes, versions.plain)


def _spans(spans: I64, terms: I64) -> tuple[Any, Any]:
    spans, terms = array("spans", spans, _I64, 5), array("terms", terms, _I64, None)
    if not 1 <= spans[3] <= MOST or len(terms) <= spans[3] or spans[4] < 0:
        raise ShapeError(f"spans: expected 1 to {MOST} events, fewer than the {len(terms)} terms, and visits >= 0 us")
    return spans, terms


def _cells(events: int, spans: I64, tallies: int) -> I32:
    """Make room for open hashes of twice as many cells as keys; a cell is three integers."""
    keys = min(events, int(spans[3]))
    return np.empty(3 * tallies * (1 << max(4, (2 * keys - 1).bit_length() if keys else 4)), np.int32)
