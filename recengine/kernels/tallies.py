"""Count what happens to every item, in buckets of an hour: a state that grows event by event, and a sweep over history.

Stands below `features/item.py` on both spines. In: events as item, time, flags and amount. Out: 13 values an item.

Why one record an item rather than a ring of buckets for all: a record rolls forward when it is touched, so that an hour
that passes costs nothing, and the hours it keeps let any event be taken out again exactly.
"""

import numpy as np

from recengine._native import tallies as _native
from recengine.errors import EngineFault, ShapeError
from recengine.kernels import array, positive
from recengine.types import F32, F64, I32, I64, Mask

__all__ = ("ALL", "N_VALUES", "Tallies", "sweep")

N_VALUES = 13
ALL = (1 << N_VALUES) - 1
"""All values are wanted."""
_F32, _F64, _I32, _I64, _U8 = (np.dtype(t) for t in (np.float32, np.float64, np.int32, np.int64, np.uint8))


class Tallies:
    """The counts of all items at the hour reached.

    An event counts once its hour is reached; one of a later hour waits, so that a clock gone wrong expires nothing.
    What has a time below 10^14 has an order and no moment: it counts in what needs no time, at once.

    Parameters
    ----------
    windows : three lengths in hours, ascending.
    half_life : hours of an epoch.
    n_items : records to begin with; more come by themselves.

    Every call holds the GIL, and is whole before another one begins.
    """

    def __init__(self, windows: tuple[int, int, int], half_life: int, n_items: int = 0) -> None:
        self._native = _native.Tallies(*_windows(windows), positive("half_life", half_life), max(n_items, 0))

    def fold(self, items: I32, times: I64, flags: Mask, amounts: F64) -> None:
        """Count n events, whatever their order.

        Parameters
        ----------
        items : (n,) int32, >= 0.
        times : (n,) int64, microseconds.
        flags : (n,) uint8; 1 engaged, 4 converted, 16 rated.
        amounts : (n,) float64 whole numbers, 1,024ths of the rating.

        Raises
        ------
        ShapeError : an argument has the wrong shape or dtype, or an item is negative.

        Cost: 1 us, and 0.1 us an event.
        """
        self._fold(items, times, flags, amounts, again=False)

    def unfold(self, items: I32, times: I64, flags: Mask, amounts: F64) -> None:
        """Take out n events that were counted; what is left is as if they had never come.

        Raises
        ------
        ShapeError : as `fold`.
        EngineFault : some of them are not there; all others are out.
        """
        missing = self._fold(items, times, flags, amounts, again=True)
        if missing:
            raise EngineFault(f"unfold: {missing} of {len(items)} events were never counted")

    def _fold(self, items: I32, times: I64, flags: Mask, amounts: F64, *, again: bool) -> int:
        items = array("items", items, _I32, None)
        n = len(items)
        times, flags = array("times", times, _I64, n), array("flags", flags, _U8, n)
        amounts = array("amounts", amounts, _F64, n)
        if n > 1:  # hours are kept ascending: in order, each event goes to an end
            order = np.argsort(times)
            items, times, flags, amounts = items[order], times[order], flags[order], amounts[order]
        missing: int = self._native.fold(items, times, flags, amounts, again)
        if missing < 0:
            raise _negative("items", items)
        return missing

    def advance(self, t: int) -> None:
        """Reach the hour of `t`; an older one changes nothing. Cost: 0.1 us, and the events that waited for it."""
        self._native.advance(t)

    def read(self, items: I32, t: int, since: I64, out: F32, wanted: int = ALL) -> None:
        """Write the values of `items` as of `t`, after all that was folded up to its hour.

        Windows end with the hour reached: a `t` before it reads as that hour.

        Parameters
        ----------
        items : (n,) int32, >= 0; one without events is like one that nothing happened to.
        t : microseconds.
        since : (n_items,) int64, when each was first known, NO_TIME where nobody says; beyond it, nobody does.
        out : (13, n) float32, C-contiguous.
        wanted : bit k = row k is written; all others of `out` stay as they are.

        Raises
        ------
        ShapeError : an argument has the wrong shape or dtype, or an item is negative.

        Cost: 1 us, and 3 to 6 ns an item.
        """
        items = array("items", items, _I32, None)
        since = array("since", since, _I64, None)
        bad: int = self._native.read(items, t, since, wanted, _writable(out, len(items)))
        if bad >= 0:
            raise _negative("items", items)

    @property
    def n(self) -> int:
        """Items that have a record."""
        return int(self._native.n)

    @property
    def memory(self) -> int:
        """Bytes: 160 an item, 16 an item and hour with events. Cost: 1 ns an item."""
        return int(self._native.memory)


def sweep(
    windows: tuple[int, int, int],
    half_life: int,
    events: tuple[I32, I64, Mask, F64],
    asked: I32,
    moments: I64,
    since: I64,
    out: F32,
) -> None:
    """Write the values of item `asked[p]` at `moments[p]`, after all events before that moment.

    Parameters
    ----------
    windows, half_life : as of `Tallies`.
    events : items, times, flags, amounts (n,) as `Tallies.fold` takes them, in any order.
    asked : (m,) int32, >= 0.
    moments : (m,) int64, in any order.
    since : (n_items,) int64, as `Tallies.read` takes it.
    out : (13, m) float32, C-contiguous.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype, or an item is negative.

    Cost: two sorts, and 0.1 us an event and probe, in one thread that does not hold the GIL.
    """
    items = array("items", events[0], _I32, None)
    n = len(items)
    times, flags = array("times", events[1], _I64, n), array("flags", events[2], _U8, n)
    amounts = array("amounts", events[3], _F64, n)
    asked = array("asked", asked, _I32, None)
    moments = array("moments", moments, _I64, len(asked))
    since = array("since", since, _I64, None)
    lengths = np.array(_windows(windows), np.int64)
    out = _writable(out, len(asked))
    order, places = np.argsort(times), np.argsort(moments)
    told = (items[order], times[order], flags[order], amounts[order])
    probes = (asked[places], moments[places], places)
    if not _native.sweep(lengths, positive("half_life", half_life), *told, *probes, since, out):
        raise _negative("asked" if asked.min(initial=0) < 0 else "items", asked if asked.min(initial=0) < 0 else items)


def _windows(windows: tuple[int, int, int]) -> tuple[int, int, int]:
    first, second, third = (positive("windows", w) for w in windows)
    if not first < second < third:
        raise ShapeError(f"windows: expected three ascending lengths, got {windows}")
    return first, second, third


def _writable(out: F32, n: int) -> F32:
    as_it_is = array("out", out, _F32, N_VALUES, n) is out
    if as_it_is and out.flags.writeable:
        return out
    raise ShapeError("out: expected a C-contiguous array that can be written")


def _negative(name: str, items: I32) -> ShapeError:
    return ShapeError(f"{name}: expected items >= 0, got {int(items.min(initial=0))}")
