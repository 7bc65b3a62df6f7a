"""What features say of users: computed when somebody asks, and kept for those who asked last.

A part of the feature store. In: a user or visitor, its trail, a moment. Out: a float32 row that is the same for all
items, and the items that co-visitation starts from. Bounded: the row that was not asked for longest goes first.

Why a row is kept by the length of the trail: every event makes it longer, so that an equal length says that nothing
happened. Within an hour, only how long the visit lasts, and whether it is over, changes by itself: that is put right.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from recengine.config import Config
from recengine.features.attributes import attribute_value
from recengine.features.covisits import anchors_of
from recengine.features.definition import AttributeOf, Feature
from recengine.features.lanes import Labels, Lanes
from recengine.features.pairs import ALL_PAIRS, read_pairs
from recengine.features.session import SESSION_VALUES
from recengine.features.signals import BUCKET, ENGAGED
from recengine.features.timelines import NOTHING, Told
from recengine.features.trails import Trail, lookback_of, read_trail
from recengine.features.user import USER_VALUES, read_user
from recengine.online.item_columns import FAR, InForce
from recengine.online.state import State
from recengine.store.homes import Forgotten, home
from recengine.types import F32, I32, Catalogue

__all__ = ("Asked", "Row", "UserRows")

KEPT = 10_000
"""Rows: some 500 bytes each."""
_NEAR = 4
"""So many events an anchor are looked at first."""
_COUNTED = len(USER_VALUES) + len(SESSION_VALUES)


class Asked(NamedTuple):
    """Who asks, when, and in what surroundings."""

    user: int
    """-1 = one without a row."""
    trail: Trail
    t: int
    """Microseconds; events at or after it are not seen."""
    told: Mapping[str, Any]
    """`Request.context`."""
    own: bool = True
    """Whether `trail` is the user's as the fold has it; False = it holds what the request tells besides."""


class Row(NamedTuple):
    """What is said of a user at a moment."""

    values: F32
    """`USER_VALUES`, `SESSION_VALUES`, then the features of users that are no counts."""
    anchors: I32
    """Latest first."""


class _Kept(NamedTuple):
    row: Row
    length: int
    """Of the trail."""
    told: tuple[object, object, object]
    """Tokens of what items are, of what the user is, and of the timelines: the things themselves would live on here."""
    at: int
    until: int
    """From when to when nothing changes by itself but the visit."""
    began: int
    last: int
    """The first and the last event of the visit; 0 = none."""


@home
class UserRows:
    """Rows of the latest users. Thread-safe.

    Parameters
    ----------
    features : of users, each an attribute or a timeline, in the order of their values.
    told : timelines by feature.
    """

    def __init__(self, config: Config, features: Sequence[Feature], labels: Labels, told: Mapping[str, Told]) -> None:
        self.look = lookback_of(config)
        self._anchors = config.features.anchors
        self._visit = round(config.serving.session_minutes * 60e6)
        self._attributes = [
            (k, feature.how, {label: code for code, label in enumerate(labels.get(feature.domain, ()))})
            for k, feature in enumerate(features, start=_COUNTED)
            if isinstance(feature.how, AttributeOf)
        ]
        self._features = features
        self._labels = labels
        self._lanes: tuple[Lanes | None, object] = (None, object())
        self.retell(told)
        self._size = _COUNTED + len(features)
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._lock = Lock()
        self.hits = self.misses = 0
        """How often a row was there, and how often it had to be computed."""

    def retell(self, told: Mapping[str, Told]) -> None:
        """Go by other timelines from now on."""
        self._timelines = [
            (k, InForce(told.get(feature.name, NOTHING), self._labels.get(feature.domain, ())))
            for k, feature in enumerate(self._features, start=_COUNTED)
            if not isinstance(feature.how, AttributeOf)
        ]
        self._retold = object()  # after it: who has this token sees these timelines

    def of(
        self,
        asked: Asked,
        state: State,
        lanes: Lanes,
        items: I32 | None = None,
        out: F32 | None = None,
        wanted: int = ALL_PAIRS,
    ) -> tuple[Row, F32 | None]:
        """Return the row of who asks.

        Parameters
        ----------
        state : what is known of users.
        items : (n,) int32: `PAIR_VALUES` of these are returned too, float32 (7, n), which is one look at the trail.
        out : where to write these; None = a new array.
        wanted : bit k = row k of these is written.

        Cost: 2 us where it is kept; else 5 us, 6 ns an event that is looked at, 1 us an attribute.
        """
        user, trail, t = asked.user, asked.trail, asked.t
        length = len(trail.time)
        if user < 0 or not asked.own or not trail.timed or (length and trail.time[-1] >= t):
            self.misses += 1
            row, pairs, _ = self._made(user, trail, state.users, lanes, t, items, out, wanted)
            return row, pairs
        # Before the row is made: what is said meanwhile makes it old.
        tokens = self._token(lanes), state.description(user), self._retold
        with self._lock:
            kept = self._kept.get(user)
            if kept is not None:
                self._kept.move_to_end(user)
        if kept is not None and kept.length == length and kept.at <= t < kept.until and kept.told == tokens:
            self.hits += 1
            pairs = None if items is None else read_pairs(trail, lanes, t, items, self.look, out, wanted)
            return self._since(kept, t), pairs
        self.misses += 1
        row, pairs, until = self._made(user, trail, state.users, lanes, t, items, out, wanted)
        visit = int(row.values[_COUNTED - 1])
        began, last = (int(trail.time[-visit]), int(trail.time[-1])) if visit else (0, 0)
        with self._lock:
            if state.description(user) is tokens[1]:  # else it was forgotten meanwhile, or is another one
                self._kept[user] = _Kept(row, length, tokens, t, until, began, last)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return row, pairs

    def forget(self, who: Forgotten) -> None:
        """Keep no row of a user."""
        with self._lock:
            self._kept.pop(who.user, None)

    def _token(self, lanes: Lanes) -> object:
        """Return what stands for lanes: the same one until there are others."""
        held = self._lanes
        if held[0] is not lanes:
            held = self._lanes = (lanes, object())
        return held[1]

    def _since(self, kept: _Kept, t: int) -> Row:
        """Put right what the clock changes within an hour; the same to the bit as if it were computed."""
        row = kept.row
        if not kept.last:  # no visit
            return row
        values = row.values.copy()
        if t - kept.last > self._visit:
            values[len(USER_VALUES) : _COUNTED] = 0
        else:
            values[len(USER_VALUES)] = (t - kept.began) / BUCKET
        return Row(values, row.anchors)

    def _made(
        self,
        user: int,
        trail: Trail,
        users: Catalogue,
        lanes: Lanes,
        t: int,
        items: I32 | None,
        out: F32 | None,
        wanted: int,
    ) -> tuple[Row, F32 | None, int]:
        """Compute a row, and say until when it stays so: the end of the hour, or what a timeline says."""
        values = np.full(self._size, np.nan, np.float32)
        pairs = None
        if items is None:
            values[:_COUNTED] = read_user(trail, lanes, t, self.look)
        else:
            values[:_COUNTED], pairs = read_trail(trail, lanes, t, items, self.look, out, wanted)
        until = (t // BUCKET + 1) * BUCKET
        for k, how, place in self._attributes if 0 <= user < users.n else ():
            values[k] = attribute_value(users, how, place, user)
        for k, timeline in self._timelines if user >= 0 else ():
            told, ends = timeline.at(t if trail.timed else FAR - 1, max(users.n, user + 1))
            values[k] = told[user]
            until = min(until, ends)
        return Row(values, self._starts(trail, t)), pairs, until

    def _starts(self, trail: Trail, t: int) -> I32:
        """Return the items of the last events engaged in before t; seldom is there need to look at all."""
        end = int(trail.time.searchsorted(t))
        near = max(end - _NEAR * self._anchors, 0)
        found = trail.item[near:end][(trail.flags[near:end] & ENGAGED) != 0]
        if near and len(found) < self._anchors:
            found = trail.item[:end][(trail.flags[:end] & ENGAGED) != 0]
        return anchors_of(found, self._anchors)
