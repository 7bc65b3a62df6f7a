"""Events -> interactions: the one definition that training and serving share.

An entry (user, item) weighs the sum of its events' weights since the last negative one; where the last opinion is
negative, it weighs that event. So a purchase after a dislike counts, and a dislike after ten views is a dislike. An
event with a value (a rating) counts `weight * (value - neutral) / (full - neutral)`, clipped to +-weight; its value is
kept too, as the latest rating of the pair. Events that weigh 0 leave no trace in here, nor does a neutral rating.
"""

import math
from typing import Any

import numpy as np

from recengine.config import EventType
from recengine.types import F32, I32, I64, U64, EventColumns, Interactions

__all__ = (
    "HIDES",
    "LAST_TYPE",
    "NO_VALUE",
    "SEEN",
    "Meanings",
    "added",
    "event_bits",
    "event_weights",
    "extend",
    "interactions",
    "ratings",
    "seen",
    "type_bit",
)


SEEN, HIDES = 1, 2
"""Bits of what events did to a (user, item) pair; the type with code c has bit 2 + c where c <= LAST_TYPE."""
LAST_TYPE = 61
NO_VALUE = float("nan")


class Meanings:
    """What the event types of one numbering say, as tables by type code; made once, since they are asked every event.

    Parameters
    ----------
    types : names by code; those that `rules` does not list weigh 1.0 and count as seen.
    """

    def __init__(self, types: tuple[str, ...], rules: tuple[EventType, ...]) -> None:
        self.types = types
        self._rules = {rule.type: rule for rule in rules}
        self._codes = {name: code for code, name in enumerate(types[: LAST_TYPE + 1])}
        plain = [self._plain(name) for name in types]
        self._plain_of = plain
        self._rated = {code: self._rules[name] for code, name in enumerate(types) if self._is_rated(name)}
        self.weights = np.array([weight for weight, _ in plain] or [1.0], np.float32)
        self.bits = np.array([bits for _, bits in plain] or [0], np.uint64)

    def of(self, code: int, value: np.float32) -> tuple[float, int]:
        """Return weight and bits of one event, the same as `weigh` gives to the bit. Cost: 0.1 us, 1 us if rated."""
        weight, bits = self._plain_of[code]
        rule = self._rated.get(code)
        return (weight if rule is None or np.isnan(value) else float(_rated(rule, value))), bits

    def rating(self, code: int, value: np.float32) -> float:
        """Return the rating that an event is, NaN = none: a value of a type for which values count."""
        return float(value) if code in self._rated else NO_VALUE

    def told_rating(self, name: str, value: float | None) -> float:
        """Return the rating of an event that is told by name, NaN = none."""
        return float(np.float32(value)) if value is not None and self._is_rated(name) else NO_VALUE

    def told(self, name: str, value: float | None) -> tuple[float, int]:
        """Return weight and bits of an event that is told by name, whether or not such a one was ever stored."""
        weight, bits = self._plain(name)
        if value is None or not self._is_rated(name) or np.isnan(value):
            return weight, bits
        return float(_rated(self._rules[name], np.float32(value))), bits

    def _plain(self, name: str) -> tuple[float, int]:
        rule = self._rules.get(name)
        code = self._codes.get(name)
        bits = SEEN if rule is None or rule.seen else 0
        bits |= HIDES if rule is not None and rule.hides else 0
        return float(np.float32(1.0 if rule is None else rule.weight)), bits | (0 if code is None else type_bit(code))

    def _is_rated(self, name: str) -> bool:
        rule = self._rules.get(name)
        return rule is not None and rule.value_full is not None

    def ratings(self, events: EventColumns) -> F32:
        """Return the rating that each event is, float32 (n,), NaN = none."""
        rated = np.isin(events.type, list(self._rated))
        return np.where(rated, events.value, np.float32(np.nan)).astype(np.float32)

    def weigh(self, events: EventColumns) -> F32:
        """Weigh every event, float32 (n,)."""
        out = self.weights[events.type]
        for code, rule in self._rated.items():
            rows = np.flatnonzero((events.type == code) & ~np.isnan(events.value))
            out[rows] = _rated(rule, events.value[rows])
        return out


def _rated(rule: EventType, value: Any) -> Any:
    """Weigh float32 values: arrays and scalars take the same steps, so that they end in the same bits."""
    share = (value - rule.value_neutral) / (rule.value_full - rule.value_neutral)  # type: ignore[operator]
    return rule.weight * np.minimum(np.maximum(share, np.float32(-1)), np.float32(1))


def event_weights(events: EventColumns, rules: tuple[EventType, ...]) -> F32:
    """Weigh every event, float32 (n,). Types that `rules` does not list weigh 1.0; 0 = says nothing."""
    return Meanings(events.types, rules).weigh(events)


def ratings(events: EventColumns, rules: tuple[EventType, ...]) -> F32:
    """Return the rating that each event is, float32 (n,), NaN = none: the values of types for which values count."""
    return Meanings(events.types, rules).ratings(events)


def interactions(
    events: EventColumns, weights: F32, n_users: int, n_items: int, rated: F32 | None = None
) -> Interactions:
    """Aggregate events, ordered by (user, time, seq), into one entry a (user, item), oldest last event first.

    `rated` float32 (n,), from `ratings`: the latest of a pair becomes its value; None, or NaN alone = no values.

    Weights are added one after the other in float32, as the fold of `extend` adds them, so that both agree to the bit.
    Cost: two sorts of n events.
    """
    keep = np.flatnonzero(weights != 0)
    user, item, weight, time = events.user[keep], events.item[keep], weights[keep], events.time[keep]
    if len(keep) == 0:
        nothing = (np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.int64))
        return Interactions(n_users, n_items, np.zeros(n_users + 1, np.int64), *nothing)
    order = np.argsort(user.astype(np.int64) * n_items + item, kind="stable")  # events of a pair stay in time order
    pair = user[order].astype(np.int64) * n_items + item[order]
    starts = np.flatnonzero(np.concatenate(([True], pair[1:] != pair[:-1])))
    ends = np.concatenate((starts[1:], [len(pair)])) - 1
    w = weight[order]
    position = np.arange(len(w))
    last_negative = np.maximum.reduceat(np.where(w < 0, position, -1), starts)
    entry = np.repeat(np.arange(len(starts)), ends - starts + 1)
    counts = np.flatnonzero((position > last_negative[entry]) & (w > 0))
    positive = np.zeros(len(starts), np.float32)
    np.add.at(positive, entry[counts], w[counts])  # in order; `reduceat` would add pairwise
    negative = np.where(last_negative >= 0, w[np.maximum(last_negative, 0)], np.float32(0))
    total = np.where(positive > 0, positive, negative)
    values = None if rated is None else _latest(rated[keep][order], starts)
    last = order[ends]  # the event that came last, as a position among `keep`
    row = np.argsort(last, kind="stable")  # `keep` is in (user, time) order, so this restores it
    picked = last[row]
    return Interactions(
        n_users,
        n_items,
        _indptr(user[picked], n_users),
        np.ascontiguousarray(item[picked], dtype=np.int32),
        total[row],
        np.ascontiguousarray(time[picked], dtype=np.int64),
        None if values is None else values[row],
    )


def _latest(rated: F32, starts: I64) -> F32 | None:
    """Return the last number of each group that begins at `starts`, NaN where it has none; None = no group has."""
    there = ~np.isnan(rated)
    if not there.any():
        return None
    at = np.maximum.reduceat(np.where(there, np.arange(len(rated)), -1), starts)
    found = np.where(at >= starts, rated[np.maximum(at, 0)], np.float32(np.nan))
    return np.asarray(found, dtype=np.float32)


def extend(
    entries: dict[int, tuple[float, int, float]], item: int, weight: float, time: int, value: float = NO_VALUE
) -> None:
    """Fold one later event into a user's entries, item -> (weight, time of the last event, rating), in place.

    Event by event this gives what `interactions` gives at once, as long as events arrive in order of time. A late
    event adds to a positive entry and is passed over where a later opinion stands; its rating counts where none does.
    """
    held, last, rated = entries.get(item, (0.0, time, NO_VALUE))
    if weight == 0:
        return
    if time >= last:
        entries.pop(item, None)  # the newest entry stands last
        rated = rated if math.isnan(value) else value
        entries[item] = (weight if weight < 0 else added(max(held, 0.0), weight), time, rated)
    else:
        held = added(held, weight) if weight > 0 and held > 0 else held
        entries[item] = (held, last, value if math.isnan(rated) else rated)


def added(held: float, weight: float) -> float:
    """Add two float32 values as float32 does."""
    return float(np.float32(held + weight))


def event_bits(events: EventColumns, rules: tuple[EventType, ...]) -> U64:
    """Say what every event does to its pair, uint64 (n,): seen, hidden for ever, and which type it was."""
    return np.asarray(Meanings(events.types, rules).bits[events.type], dtype=np.uint64)


def type_bit(code: int) -> int:
    """Return the bit of the event type with this code, <= LAST_TYPE."""
    return 4 << code


def seen(events: EventColumns, bits: U64, n_users: int, n_items: int) -> tuple[I64, I32, U64]:
    """Collect what each user ever touched.

    Returns
    -------
    indptr int64 (n_users + 1,), items int32 ascending within a user, and the union of each pair's `bits`, uint64.
    """
    pair = events.user.astype(np.int64) * max(n_items, 1) + events.item
    order = np.argsort(pair, kind="stable")
    pair = pair[order]
    starts = np.flatnonzero(np.concatenate((np.ones(min(len(pair), 1), bool), pair[1:] != pair[:-1])))
    merged = np.bitwise_or.reduceat(bits[order], starts) if len(starts) else np.empty(0, np.uint64)
    user, item = np.divmod(pair[starts], max(n_items, 1))
    return _indptr(user, n_users), item.astype(np.int32), merged


def _indptr(rows: np.ndarray, n: int) -> I64:
    return np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=n)))).astype(np.int64)
