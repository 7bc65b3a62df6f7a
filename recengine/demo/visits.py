"""The demo shop's visits: who comes when, and which item they look at after which.

Stands on `market.py`, under `events.py`. In: users, items, market. Out: `Visits` (sessions) and `Steps` (one item
page each).

A visit has an intent, one persona drawn from the user's mixture of that day. The first item comes from the intent or
from the shop window; every next one from the last: a companion of the last item (.30), a leaf that follows (.42), the
intent afresh (.21), the shop window (.07). A leaf is drawn from intent + season + weekend + device (+ chain), then an
item in it from taste + appeal: a nested logit (McFadden 1978). Why steps over all visits at once: step k of every
visit is one pass of array code, so 110 k steps take two dozen passes, not 110 k.
"""

import msgspec
import numpy as np

from recengine.demo.catalogue import Items
from recengine.demo.market import Market, weekend_odds
from recengine.demo.taste import DEVICES, Personas, Users
from recengine.demo.tree import LEAVES
from recengine.types import F32, F64, I32, Bools

__all__ = ("FIRST_WEEKDAY", "Steps", "Visits", "draw_steps", "draw_visits")

FIRST_WEEKDAY = 0
"""The window starts on a Monday."""
LONGEST = 24
_MEMORY = 4
"""A shopper does not return to the latest so many items within a visit, except through the shop window."""
_WEEK = np.array([0.92, 0.88, 0.9, 0.94, 0.97, 1.2, 1.28])
_HOURS = (
    np.array([2, 1, 1, 1, 1, 2, 4, 7, 8, 8, 8, 9, 13, 11, 8, 8, 9, 11, 14, 18, 22, 20, 13, 6], dtype=float),
    np.array([4, 3, 2, 1, 1, 1, 2, 4, 8, 13, 17, 18, 16, 15, 15, 15, 14, 13, 13, 14, 16, 15, 10, 6], dtype=float),
)
_DEVICE_LIKES = {
    "fashion": (0.3, -0.4, 0.1),
    "beauty": (0.4, -0.5, 0.0),
    "computing": (-0.5, 0.8, -0.3),
    "toys": (0.0, -0.1, 0.4),
}


class Visits(msgspec.Struct, frozen=True):
    """n visits, longest first.

    `user`, `time` (days since the window's start), `device`, `intent` (a persona), `length` >= 1.
    """

    user: I32
    time: F64
    device: I32
    intent: I32
    length: I32


class Steps(msgspec.Struct, frozen=True):
    """m item pages.

    `visit`, `place` (0 = first of its visit), `item`, `passed` (an item shown above it and passed over, -1 = none).
    """

    visit: I32
    place: I32
    item: I32
    passed: I32


def draw_visits(rng: np.random.Generator, n: int, users: Users, days: int) -> Visits:
    """Draw about n visits with weekly and daily rhythm; nobody comes before joining. Cost: O(n x K)."""
    stay = np.clip(days - np.maximum(users.joined, 0), 0, days) / days
    pull = users.activity * stay
    user = rng.choice(len(pull), int(n * 1.35) + 8, p=pull / pull.sum()).astype(np.int32)
    start = np.maximum(users.joined[user], 0)
    day = np.floor(start + (days - start) * rng.random(len(user)) ** 0.93).astype(
        np.int32
    )  # a shop that grows a little
    weekday = (day + FIRST_WEEKDAY) % 7
    keep = rng.random(len(user)) < _WEEK[weekday] / _WEEK.max()
    user, day, weekday = user[keep], day[keep], weekday[keep]
    weekend = weekday >= 5
    hour = np.where(weekend, _hours(rng, 1, len(day)), _hours(rng, 0, len(day)))
    time = np.clip(day + hour / 24, users.joined[user] + 0.002, days - 0.03)

    office = ~weekend & (hour > 9) & (hour < 17)
    roll, other = rng.random(len(user)), rng.random(len(user))
    device = np.where(
        roll < 0.76, users.device[user], np.where(office | (other < 0.25), 1, np.where(other < 0.9, 0, 2))
    ).astype(np.int32)
    share = (time / days)[:, None]
    intent = pick((1 - share) * users.mixture[user] + share * users.later[user], uniform(rng, len(user)))
    length = np.minimum(rng.geometric(0.2, len(user)) + (device == 1), LONGEST).astype(np.int32)
    order = np.argsort(-length, kind="stable")
    return Visits(user[order], time[order], device[order], intent[order], length[order])


def draw_steps(rng: np.random.Generator, visits: Visits, personas: Personas, items: Items, market: Market) -> Steps:
    """Walk all visits step by step. Cost: O(steps x (leaves + items a leaf))."""
    days = len(market.appeal)
    day = np.minimum(visits.time.astype(np.int32), days - 1)
    weekend = (((day + FIRST_WEEKDAY) % 7) >= 5).astype(np.float32)
    odds = np.array([_DEVICE_LIKES.get(leaf.category, (0.0,) * len(DEVICES)) for leaf in LEAVES], dtype=np.float32).T
    mood = personas.leaves.astype(np.float32)[visits.intent] + market.leaf_season[day] + odds[visits.device]
    mood += np.multiply.outer(weekend, weekend_odds())
    mood[:, (market.shelf >= 0).sum(axis=1) == 0] = -np.inf
    trail = np.full((len(day), _MEMORY), -1, dtype=np.int32)
    parts: list[tuple[I32, I32, I32, I32]] = []
    for place in range(int(visits.length.max(initial=0))):
        n = int(np.searchsorted(-visits.length, -place, side="left"))  # visits are longest first
        walk = _Walk(visits.user[:n], day[:n], visits.time[:n] / days, trail[:n])
        roll = rng.random(n)
        passed = np.full(n, -1, dtype=np.int32)
        chained = roll < 0.72 if place else np.zeros(n, dtype=bool)
        item = _from_leaf(rng, walk, mood[:n], chained, items, market)
        window = np.flatnonzero(roll > (0.93 if place else 0.84))
        item[window], passed[window] = _from_window(rng, walk.at(window), market)
        if place:
            companion = market.companions[trail[:n, 0], np.digitize(rng.random(n), (0.55, 0.85))]
            fits = (roll < 0.30) & (companion >= 0) & np.isfinite(market.appeal[day[:n], np.maximum(companion, 0)])
            fits &= ~(trail[:n] == companion[:, None]).any(axis=1)
            item = np.where(fits, companion, item)
        parts.append((np.arange(n, dtype=np.int32), np.full(n, place, dtype=np.int32), item.astype(np.int32), passed))
        trail[:n, 1:] = trail[:n, :-1].copy()
        trail[:n, 0] = item
    visit, step, item, passed = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Steps(visit, step, item, passed)


def uniform(rng: np.random.Generator, n: int) -> F64:
    """Draw n numbers in (0, 1]."""
    return np.asarray(1.0 - rng.random(n))


def pick(weights: F64 | F32, roll: F64) -> I32:
    """Draw a column a row with probability proportional to its weight; `roll` uniform in (0, 1]. Cost: O(n x m)."""
    total = np.cumsum(weights, axis=1)
    target = np.multiply(roll, total[:, -1]).astype(total.dtype)
    return np.asarray(np.minimum((total < target[:, None]).sum(axis=1), weights.shape[1] - 1), dtype=np.int32)


class _Walk(msgspec.Struct, frozen=True):
    """Where n visits stand: `share` of the window passed, the last items of the `trail`, latest first, -1 = none."""

    user: I32
    day: I32
    share: F64
    trail: I32

    def at(self, rows: np.ndarray) -> "_Walk":
        return _Walk(self.user[rows], self.day[rows], self.share[rows], self.trail[rows])


def _from_leaf(rng: np.random.Generator, walk: _Walk, mood: F32, chained: Bools, items: Items, market: Market) -> I32:
    """Draw a leaf, then an item of it that is on sale and is not among the last ones."""
    logits = np.where(chained[:, None], 0.6 * mood + market.chain[items.leaf[walk.trail[:, 0]]], mood)
    leaf = pick(_softly(logits), uniform(rng, len(mood)))
    shelf = market.shelf[leaf]
    wish = market.taste(walk.user[:, None], shelf, walk.share[:, None]) + market.appeal[walk.day[:, None], shelf]
    barred = np.equal(shelf, walk.trail[:, :1])
    for back in range(1, _MEMORY):
        barred |= shelf == walk.trail[:, back, None]
    wish[shelf < 0] = -np.inf
    fresh = np.where(barred, -np.inf, wish)
    wish = np.where(np.isfinite(fresh).any(axis=1, keepdims=True), fresh, wish)  # a leaf with few items repeats itself
    column = pick(_softly(wish), uniform(rng, len(mood)))
    return np.asarray(shelf[np.arange(len(shelf)), column])


def _from_window(rng: np.random.Generator, walk: _Walk, market: Market) -> tuple[I32, I32]:
    """Draw from the shop window: prominence (1 / place) times taste.

    Also name one item above that was passed over, or -1.
    """
    shown = market.window[walk.day]
    n, width = shown.shape
    wish = 0.8 * market.taste(walk.user[:, None], shown, walk.share[:, None]) - np.log1p(
        np.arange(width, dtype=np.float32)
    )
    wish[~np.isfinite(market.appeal[walk.day[:, None], shown])] = -np.inf
    column = pick(_softly(wish), uniform(rng, n))
    above = np.minimum((rng.random(n) * np.maximum(column, 1)).astype(np.int32), width - 1)
    rows = np.arange(n)
    return shown[rows, column], np.where(column > 0, shown[rows, above], -1).astype(np.int32)


def _softly(logits: F32) -> F32:
    """Exponentiate rows without overflow; a row of -inf becomes the weight 1 on its first column."""
    top = logits.max(axis=1, keepdims=True)
    closed = ~np.isfinite(top[:, 0])
    weights = np.exp(logits - np.where(np.isfinite(top), top, 0))
    weights[closed, 0] = 1.0
    return np.asarray(weights, dtype=np.float32)


def _hours(rng: np.random.Generator, kind: int, n: int) -> F64:
    """Draw hours of the day, 0 <= h < 24, on a working day (0) or at the weekend (1)."""
    return np.asarray(rng.choice(24, n, p=_HOURS[kind] / _HOURS[kind].sum()) + rng.random(n))
