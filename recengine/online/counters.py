"""How much everybody does with each item since the deployment was trained: popular and trending, live.

Two halves. `Counters` is part of the fold: it logs what counts, in the order of events, at 1 us each. `Live` belongs to
a deployment and adds the events after its last one to the sums it was trained with, by the formula of
`algorithms/standing.py`: so another training on the same events comes to the same, but for what only training does
(a dislike takes back what its user did before; an item that a user returns to counts in `trending` as of the last
time).

Why marks: lists are exact at every call, but the orders that candidates come from are laid out anew only at every
`step` events. That is counted in the numbers of events and not by a clock, so that a restart or a replay lays out what
the running process did; and `step` grows with the catalogue, as the layout's cost does, which so stays within some 10
us an event.
"""

from threading import Lock
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from recengine.algorithms.popularity import Popularity
from recengine.algorithms.standing import Standing, growth, standing
from recengine.config import EventType
from recengine.features.interaction import Meanings
from recengine.store.homes import Forgotten, home
from recengine.types import NO_TIME, EventColumns

__all__ = ("BLOCK", "KEPT", "Counters", "Live", "step_for")

_ROW = np.dtype([("seq", np.int64), ("time", np.int64), ("user", np.int32), ("item", np.int32), ("weight", np.float32)])
_Rows: TypeAlias = npt.NDArray[Any]

BLOCK = 1 << 19
"""Events are let go by blocks of so many numbers."""
KEPT = 4
"""Blocks that are kept: 1.5 to 2 million events, 28 bytes each."""
SMALLEST_STEP = 64


class _Log(NamedTuple):
    """What is seen at one moment; replaced whole."""

    rows: _Rows
    """Ascending in `seq`; those from `n` on are not yet written."""
    n: int
    last_seq: int
    """Of the last event, whether or not it counts."""
    made: object
    """Another one where rows were taken away."""


@home
class Counters:
    """The log of what counts: events with a positive weight, the latest blocks of them."""

    def __init__(self, rules: tuple[EventType, ...]) -> None:
        self._rules = rules
        self._meanings = Meanings((), rules)
        self.log = _Log(np.empty(1024, _ROW), 0, -1, object())

    def restart(self, events: EventColumns, last_event: int) -> None:
        """Begin anew from all events there are; `last_event` is the last number that was given."""
        log = self._extended(_Log(np.empty(1024, _ROW), 0, -1, object()), events)
        self.log = log if log.last_seq == last_event else _trimmed(_Log(log.rows, log.n, last_event, log.made))

    def apply(self, events: EventColumns) -> None:
        """Fold events in, in any order among themselves; what is not later than all before was counted already."""
        self.log = self._extended(self.log, events)

    def forget(self, who: Forgotten) -> None:
        """Count nothing of what a user did. Cost: a pass over the log."""
        log = self.log
        rows = log.rows[: log.n]
        kept = rows[rows["user"] != who.user].copy()
        if len(kept) < log.n:
            self.log = _Log(kept, len(kept), log.last_seq, object())

    def _extended(self, log: _Log, events: EventColumns) -> _Log:
        if events.types is not self._meanings.types:
            self._meanings = Meanings(events.types, self._rules)
        if len(events.seq) == 0:
            return log
        if len(events.seq) == 1:  # the common case, without a pass over arrays
            seq, n, rows = int(events.seq[0]), log.n, log.rows
            weight, _ = self._meanings.of(int(events.type[0]), events.value[0])
            if seq <= log.last_seq:
                return log
            if weight > 0:
                if n == len(rows):
                    rows = _grown(log, 1)
                rows[n] = (seq, int(events.time[0]), int(events.user[0]), int(events.item[0]), weight)
                n += 1
            later = _Log(rows, n, seq, log.made)
            return later if seq // BLOCK == log.last_seq // BLOCK else _trimmed(later)
        weights = self._meanings.weigh(events)
        seq = max(log.last_seq, int(events.seq.max()))
        picked = np.flatnonzero((weights > 0) & (events.seq > log.last_seq) & (events.seq >= _first(seq)))
        picked = picked[np.argsort(events.seq[picked], kind="stable")]
        n = log.n + len(picked)
        rows = log.rows if n <= len(log.rows) else _grown(log, len(picked))
        new = rows[log.n : n]
        new["seq"], new["time"], new["item"] = events.seq[picked], events.time[picked], events.item[picked]
        new["user"], new["weight"] = events.user[picked], weights[picked]
        return _trimmed(_Log(rows, n, seq, log.made))


def _first(last_seq: int) -> int:
    """Return the number of the first event that is kept; it depends on the last one's alone."""
    return (last_seq // BLOCK - KEPT + 1) * BLOCK


def _grown(log: _Log, more: int) -> _Rows:
    rows = np.empty(max(2 * len(log.rows), log.n + more), _ROW)
    rows[: log.n] = log.rows[: log.n]
    return rows


def _trimmed(log: _Log) -> _Log:
    """Let the oldest blocks go."""
    first = _first(log.last_seq)
    if first <= 0 or log.n == 0 or log.rows["seq"][0] >= first:
        return log
    kept = log.rows[: log.n][np.searchsorted(log.rows["seq"][: log.n], first) :].copy()
    return _Log(kept, len(kept), log.last_seq, object())


def step_for(n_items: int) -> int:
    """Return the number of events between two layouts: a power of two, of at least 1/32 of the catalogue."""
    return 1 << max(SMALLEST_STEP.bit_length() - 1, (max(n_items, 1) // 32).bit_length())


class Live:
    """How items stand under one deployment, its own sums and all that was counted since. Thread-safe.

    Parameters
    ----------
    last_seq : the last event that the deployment has learned from.
    """

    def __init__(self, popularity: Popularity, counters: Counters, last_seq: int) -> None:
        self._counters = counters
        self._after = last_seq
        self._step = step_for(len(popularity.tally.counts))
        self._lock = Lock()
        self._now = _Sums(popularity, last_seq)
        self._marked = _Sums(popularity, last_seq)
        self._laid_out: tuple[object, int, int, Standing] | None = None

    def now(self, n_items: int) -> Standing:
        """Return the standing of all trained and at least `n_items` items, exact as of the last event folded."""
        with self._lock:
            log = self._counters.log
            return self._now.standing(log, max(log.last_seq, self._after), n_items)

    def laid_out(self, n_items: int) -> Standing:
        """Return the standing as of the last mark: the same object until the next one. Cost: 1 us until then."""
        log, held = self._counters.log, self._laid_out
        if held is not None and held[0] is log.made and held[1] == self._mark(log) and held[2] == n_items:
            return held[3]
        with self._lock:
            log = self._counters.log
            found = self._marked.standing(log, self._mark(log), n_items)
            self._laid_out = (log.made, self._mark(log), n_items, found)
        return found

    def _mark(self, log: _Log) -> int:
        return self._after + max(log.last_seq - self._after, 0) // self._step * self._step


class _Sums:
    """Trained sums plus those of the log up to some event; goes on from where it was."""

    def __init__(self, popularity: Popularity, after: int) -> None:
        self._tally = popularity.tally
        self._share = popularity.config.trending_share
        self._after = after
        self._made: object = None
        self._reached = after
        self._begin()
        self._found: Standing | None = None

    def _begin(self) -> None:
        self._counts, self._recent = self._tally.counts.copy(), self._tally.recent.copy()
        self._newest = self._tally.newest
        self._reached = self._after

    def standing(self, log: _Log, upto: int, n_items: int) -> Standing:
        """Add one event after the other, so that the sums are the same to the bit however often somebody asks."""
        if log.made is not self._made or upto < self._reached:
            self._begin()
            self._made, self._found = log.made, None
        seqs = log.rows["seq"][: log.n]
        rows = log.rows[np.searchsorted(seqs, self._reached, "right") : np.searchsorted(seqs, upto, "right")]
        self._reached = upto
        size = max(len(self._counts), n_items, int(rows["item"].max(initial=-1)) + 1)
        if size > len(self._counts):
            more = np.zeros(size - len(self._counts))
            self._counts, self._recent = np.append(self._counts, more), np.append(self._recent, more)
            self._found = None
        if len(rows):
            items, times = np.ascontiguousarray(rows["item"]), np.ascontiguousarray(rows["time"])
            weights = rows["weight"].astype(np.float64)
            tally = self._tally
            grown = weights * growth(times, tally.newest, tally.oldest, tally.half_life)
            np.add.at(self._counts, items, weights)
            np.add.at(self._recent, items, grown)
            known = times[times != NO_TIME]
            self._newest = max(self._newest, float(known.max())) if len(known) else self._newest
            self._found = None
        if self._found is None:
            age = np.exp2(-min((self._newest - self._tally.newest) / self._tally.half_life, 1000.0))
            self._found = standing(self._counts, self._recent * age, self._share)
        return self._found
