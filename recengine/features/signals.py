"""Events as features see them: what each one means, and its value in whole 1,024ths.

Below both spines: offline all events become signals at once, online each group of events does. Why 1,024ths: sums of
whole numbers below 2^53 are exact in float64 in any order, so that a sum which the database made, one which grew event
by event, and one from which expired buckets were taken again agree to the bit.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recengine.config import EventType
from recengine.features.interaction import Meanings
from recengine.types import F32, F64, I32, I64, MICROSECONDS_FROM, EventColumns

__all__ = (
    "BUCKET",
    "CONVERTED",
    "DAY",
    "ENGAGED",
    "RATED",
    "REJECTED",
    "UNIT",
    "VIEWED",
    "Reading",
    "Signals",
    "signals",
)

BUCKET = 3_600_000_000
"""Microseconds in a bucket: windows are aligned to whole hours of UTC."""
DAY = 24.0
"""Buckets in a day: what lasts is said in days."""
UNIT = 1024.0
"""A value v counts round(v * UNIT)."""

ENGAGED, VIEWED, CONVERTED, REJECTED, RATED = 1, 2, 4, 8, 16
"""Bits of a signal. ENGAGED: its weight is positive, and then VIEWED or CONVERTED by its role; REJECTED: negative;
RATED: its value is a rating."""


class Signals(NamedTuple):
    """n events. `time` int64 microseconds, or integers below `MICROSECONDS_FROM` that only sort."""

    user: I32
    item: I32
    time: I64
    flags: npt.NDArray[np.uint8]
    amount: F64
    """The value in 1,024ths, a whole number; 0 where there is none."""

    def take(self, rows: npt.NDArray[np.intp] | slice) -> "Signals":
        """Return some of them, in the order of `rows`."""
        return Signals(self.user[rows], self.item[rows], self.time[rows], self.flags[rows], self.amount[rows])

    @property
    def timed(self) -> bool:
        """Whether `time` is moments."""
        return len(self.time) == 0 or int(self.time.max()) >= MICROSECONDS_FROM


class Reading:
    """What the event types of one numbering are to features, as tables by type code; made once, asked every event.

    Parameters
    ----------
    types : names by code; one that `rules` does not list is an engagement.
    """

    def __init__(self, types: tuple[str, ...], rules: tuple[EventType, ...]) -> None:
        self.types = types
        self._meanings = Meanings(types, rules)
        listed = {rule.type: rule for rule in rules}
        known = [listed.get(name) for name in types]
        role = {"view": VIEWED, "convert": CONVERTED}
        self._roles = np.array([role.get(rule.role, 0) if rule else 0 for rule in known] or [0], np.uint8)
        rated = [rule is not None and rule.value_full is not None for rule in known]
        self._rated = np.array(rated or [False])
        weights = self._meanings.weights[: len(types)]
        plain = np.where(weights > 0, ENGAGED | self._roles[: len(types)], np.where(weights < 0, REJECTED, 0))
        self._plain = plain.astype(np.uint8)

    def of(self, events: EventColumns) -> Signals:
        """Say what events mean, in their order. Cost: 3 us, and 20 ns an event with a value."""
        valued = ~np.isnan(events.value)
        if not valued.any():
            return Signals(events.user, events.item, events.time, self._plain[events.type], np.zeros(len(valued)))
        weights: F32 = self._meanings.weigh(events)
        flags = np.where(weights > 0, ENGAGED | self._roles[events.type], np.where(weights < 0, REJECTED, 0))
        flags |= np.where(self._rated[events.type] & valued, RATED, 0)
        amount = np.rint(np.where(valued, events.value, 0).astype(np.float64) * UNIT)
        return Signals(events.user, events.item, events.time, flags.astype(np.uint8), amount)


def signals(events: EventColumns, rules: tuple[EventType, ...]) -> Signals:
    """Say what events mean, in their order. Cost: 20 ns an event."""
    return Reading(events.types, rules).of(events)
