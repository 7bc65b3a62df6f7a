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
from recengine.types import F32, F64, I32, I64, NO_TIME

__all__ = (
    "ALL_PAIRS",
    "MOST",
    "PAIR",
    "SESSION",
    "USER",
    "Arena",
    "Events",
    "Spans",
    "Versions",
    "gathered",
    "insert",
    "read",
    "read_rows",
    "spans",
    "versions",
)

USER, SESSION, PAIR = 17, 5, 7
"""How many values there are of each."""
ALL_PAIRS = (1 << PAIR) - 1
"""All values of a user with an item are wanted."""
MOST = 10_000
"""Events that are looked at, at most."""
U8: TypeAlias = npt.NDArray[np.uint8]
Versions: TypeAlias = Any
"""What items are; made by `versions`."""
Spans: TypeAlias = Any
"""How far to look back; made by `spans`."""
_TERMS = np.arange(MOST + 1, dtype=np.float64)
_TERMS = np.rint(_TERMS * np.log2(np.maximum(_TERMS, 1)) * 2.0**32).astype(np.int64)
_I32, _I64, _U8, _F32, _F64 = (np.dtype(t) for t in (np.int32, np.int64, np.uint8, np.float32, np.float64))


class Events(NamedTuple):
    """Events without their users: `amount` in whole 1,024ths, `flags` as in `features/signals.py`."""

    item: I32
    time: I64
    flags: U8
    amount: F64


class Arena(NamedTuple):
    """Trails of all users: user u's is `events[start[u]:start[u] + length[u]]`, with room for `capacity[u]`."""

    start: I64
    length: I32
    capacity: I32
    events: Events


def versions(indptr: I64, times: I64, lanes: I32, n_categories: int, n_brands: int) -> Versions:
    """Take what items are: rows `indptr[i]:indptr[i + 1]` are item i's, the k-th counts from `times[k]` on.

    Parameters
    ----------
    indptr, times : (n + 1,) and (K,) int64; times, in microseconds, ascend within an item.
    lanes : (K, 4) int32: category, brand, the bits of the float32 price, 0; codes below their number, -1 = missing.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype.

    Cost: a look at each. Arrays are kept, not copied, and are not to change.
    """
    lanes = array("lanes", lanes, _I32, None, 4)
    times, indptr = array("times", times, _I64, len(lanes)), array("indptr", indptr, _I64, None)
    falls = np.flatnonzero(np.diff(indptr) < 0)
    if len(indptr) == 0 or indptr[0] != 0 or indptr[-1] != len(lanes) or len(falls):
        raise bad_indptr(int(falls[0]) if len(falls) else max(len(indptr) - 2, 0))
    for name, codes, end in (("category", lanes[:, 0], n_categories), ("brand", lanes[:, 1], n_brands)):
        if len(codes) and not (codes.min() >= -1 and codes.max() < end):
            raise ShapeError(f"{name}: expected -1 to {end - 1}, got {codes.min()} to {codes.max()}")
    plain = bool((np.diff(indptr) == 1).all() and (times == NO_TIME).all())
    return _native.Versions(indptr, times, lanes, plain, n_categories, n_brands)


def spans(windows: tuple[int, int, int], history: int, session: int) -> Spans:
    """Look back over three windows in hours, `history` events (1 .. MOST), and visits that end after `session` us.

    Raises
    ------
    ShapeError : out of range.
    """
    if not 1 <= history <= MOST:
        raise ShapeError(f"history: expected 1 to {MOST}, got {history}")
    if session < 0 or not all(1 <= window < 2**28 for window in windows):
        raise ShapeError(f"windows: expected hours from 1 on and visits of 0 us or more, got {windows} and {session}")
    return _native.Spans(*windows, history, session, _TERMS)


def read(
    events: Events,
    timed: bool,
    versions: Versions,
    spans: Spans,
    t: int,
    items: I32 | None,
    *,
    user: bool = True,
    wanted: int = ALL_PAIRS,
    out: F32 | None = None,
) -> tuple[F32, F32]:
    """Read what a user's latest events before t say of the user, the current visit, and the user with n items.

    Parameters
    ----------
    events : one user's, oldest first.
    timed : whether times are moments in microseconds; if not, what needs time is NaN.
    t : microseconds.
    items : (n,) int32; one that `versions` does not hold has neither category nor brand; None = none.
    user : False: the first of what is returned is left empty.
    wanted : bit k = row k of the values with items is written; others are what they were.
    out : (PAIR, n) float32, C-contiguous, to write those to; None = a new one.

    Returns
    -------
    (USER + SESSION,) and (PAIR, n) float32.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype.

    Cost: 2 us, about 6 ns an event looked at and 4 ns an item.  Oracle: tests/oracles/trails.py
    """
    asked = None if items is None else array("items", items, _I32, None)
    n = 0 if asked is None else len(asked)
    own = np.empty(USER + SESSION if user else 0, np.float32)
    if out is None:
        out = np.empty((PAIR, n), np.float32)
    elif array("out", out, _F32, PAIR, n) is not out or not out.flags.writeable:
        raise ShapeError("out: expected a C-contiguous array that can be written to")
    _native.read(*_checked(events), timed, versions, spans, t, asked, own if user else None, wanted, out)
    return own, out


def read_rows(
    arena: Arena,
    timed: bool,
    versions: Versions,
    spans: Spans,
    users: I32,
    items: I32,
    times: I64,
    out: F32,
    threads: int = 1,
) -> None:
    """Fill a training table: column j is what `read` says of probe j.

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
    order = np.argsort(users, kind="stable")  # one user's trail stays in the cache from probe to probe
    scratch = np.empty((threads, _native.cells(int(length.max(initial=0)), spans, 2)), np.uint8)
    _native.read_rows(start, length, *held, timed, versions, spans, users, items, times, order, scratch, out, threads)


def insert(arena: Arena, end: int, users: I32, events: Events, first: int) -> tuple[int, int]:
    """Put events [first, n) into their users' trails, behind those of the same moment or before; writes into `arena`.

    What a trail showed before stays where it is: a late event goes into a copy, so that who reads meanwhile sees all
    of the old trail or all of the new one, given that it reads `length` before `start`.

    Parameters
    ----------
    end : events of the arena that are taken; the rest is room.
    users : (n,) int32, rows.

    Returns
    -------
    the event before which there was no room or no row (n = all are in), and the new `end`.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype, or a user is below 0: nothing was put in.

    Cost: 3 us a call and 20 ns an event; a late one copies the trail, several of one user that stand together in order
    of time copy it once.
    """
    users = array("users", users, _I32, None)
    told = _checked(events)
    if len(told.item) != len(users):
        raise ShapeError(f"users: expected int32 ({len(told.item)}), got int32 {users.shape}")
    done: tuple[int, int] = _native.insert(*arena[:3], *arena.events, end, users, *told, first)
    if done[0] < 0:
        raise ShapeError(f"users: expected rows from 0 on, got {int(users[first:].min())}")
    return done


def gathered(arena: Arena, room: int) -> tuple[Arena, int]:
    """Return the same trails in fresh arrays, one behind the other, with `room` events to spare; and where they end.

    Cost: a copy.
    """
    start = np.cumsum(arena.capacity, dtype=np.int64)
    end = int(start[-1]) if len(start) else 0
    start -= arena.capacity
    size = end + room
    # Zeros, for fresh memory may hold what arrays held that were let go: the trail of one who was forgotten.
    events = Events(np.zeros(size, np.int32), np.zeros(size, np.int64), np.zeros(size, np.uint8), np.zeros(size))
    _native.gather(arena.start, arena.length, *arena.events, start, *events)
    return Arena(start, arena.length.copy(), arena.capacity.copy(), events), end


def _checked(events: Events) -> Events:
    item = array("item", events.item, _I32, None)
    n = len(item)
    time, flags = array("time", events.time, _I64, n), array("flags", events.flags, _U8, n)
    return Events(item, time, flags, array("amount", events.amount, _F64, n))
