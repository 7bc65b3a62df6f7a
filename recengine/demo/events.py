"""The demo shop's events: what shoppers do on the pages they visit, and afterwards.

Stands on `visits.py`; `shop.py` writes what it returns. In: everything of the latent world. Out: `Log`, exactly as
many events as asked for.

A page starts a funnel: view -> click -> (like, share) -> cart -> purchase, or dislike -> block; every arrow is a
logistic of the wish, the standardised taste for the item. Carts and purchases also weigh the price against the user's
sensitivity. Ratings follow purchases after days and likes at once, and say quality + wish + noise. Consumables are
bought again every four weeks or so. An item of the shop window that was passed over becomes an `ignore`. After a
block the user never meets the item again.
"""

import msgspec
import numpy as np

from recengine.demo.catalogue import Items
from recengine.demo.market import Market, open_market
from recengine.demo.taste import Personas, Users
from recengine.demo.tree import LEAVES
from recengine.demo.visits import Steps, Visits, draw_steps, draw_visits
from recengine.types import F32, F64, I32, I64, Bools

__all__ = ("TYPES", "Log", "simulate")

TYPES = ("view", "click", "like", "share", "cart", "purchase", "rating", "ignore", "dislike", "block")
_CODE = {name: code for code, name in enumerate(TYPES)}
_SECOND = 1 / 86_400
_A_VISIT = 8.0
"""Events that a visit brings, on average: the first guess of how many visits are needed."""


class Log(msgspec.Struct, frozen=True):
    """n events in order of time.

    `time` float64 days since the window's start, `type` codes into TYPES, `value` NaN but for ratings.
    """

    user: I32
    item: I32
    type: I32
    value: F32
    time: F64
    session: I64
    device: I32


class _Batch(msgspec.Struct, frozen=True):
    """Events in the making.

    `visit` = the visit that caused them, they are kept or dropped with it; `errand` > 0 = a later session of it.
    """

    visit: I32
    errand: I32
    item: I32
    type: I32
    value: F32
    time: F64


def simulate(rng: np.random.Generator, n: int, users: Users, personas: Personas, items: Items, days: int) -> Log:
    """Simulate exactly n events. Cost: O(n x (leaves + items a leaf)) and one (users x items) pass."""
    market = open_market(rng, users, items, days)
    visits_wanted = int(1.15 * n / _A_VISIT) + 4
    while True:
        visits = draw_visits(rng, visits_wanted, users, days)
        steps = draw_steps(rng, visits, personas, items, market)
        batch = _behave(rng, visits, steps, users, items, market)
        if len(batch.visit) >= n:
            return _cut(rng, batch, n, visits, users)
        visits_wanted *= 2  # few steps a visit by chance, as in a tiny shop; the next draw is independent


def _behave(
    rng: np.random.Generator, visits: Visits, steps: Steps, users: Users, items: Items, market: Market
) -> _Batch:
    """Turn pages into events, in no order."""
    days = float(len(market.appeal))
    user, device = visits.user[steps.visit], visits.device[steps.visit]
    wish = _standardise(market.taste(user, steps.item, visits.time[steps.visit] / days))
    quality = items.quality[steps.item] - 3.7
    sensitivity = np.clip(1.0 - 0.8 * users.price, 0.1, 2.5)[user]
    bargain = sensitivity * items.cheapness[steps.item]
    refill = np.array([leaf.consumable for leaf in LEAVES])[items.leaf[steps.item]]
    m = len(user)

    def chance(logit: F64) -> Bools:
        return np.asarray(rng.random(m) < 1 / (1 + np.exp(-logit)))

    click = chance(0.1 + 0.8 * wish + 0.3 * quality)
    like = click & chance(-2.5 + 0.9 * wish + 0.6 * quality)
    share = click & chance(-4.2 + 0.7 * wish + 0.5 * (device == 0))
    cart = click & chance(-1.5 + 0.7 * wish + 0.9 * bargain + 0.5 * refill - 0.2 * (device == 0))
    purchase = cart & chance(-0.8 + 0.4 * wish + 1.6 * bargain + 0.5 * users.member[user] + 0.5 * refill)
    dislike = ~click & chance(-3.8 - 1.3 * wish)
    block = dislike & (rng.random(m) < 0.12)
    ignore = (steps.passed >= 0) & (rng.random(m) < 0.6)
    soon = like & (rng.random(m) < 0.18)
    late = purchase & (rng.random(m) < 0.42)

    dwell = (rng.lognormal(3.3, 0.7, m) + 14 * click + 25 * cart + 80 * purchase + 12 * soon) * _SECOND
    order = np.lexsort((steps.place, steps.visit))
    ends = np.cumsum(dwell[order])
    opening = np.flatnonzero(steps.place[order] == 0)
    since = ends - dwell[order] - np.repeat((ends - dwell[order])[opening], np.diff(np.append(opening, m)))
    time = np.empty(m)
    time[order] = visits.time[steps.visit[order]] + since
    jitter = rng.uniform(0.7, 1.3, m) * _SECOND

    def batch(
        mask: Bools,
        name: str,
        seconds: float,
        item: I32 = steps.item,
        value: F64 | None = None,
        later: F64 | float = 0.0,
        errand: int = 0,
    ) -> _Batch:
        rows = np.flatnonzero(mask)
        values = np.full(len(rows), np.nan) if value is None else value[rows]
        return _Batch(
            steps.visit[rows],
            np.full(len(rows), errand, dtype=np.int32),
            item[rows],
            np.full(len(rows), _CODE[name], dtype=np.int32),
            values.astype(np.float32),
            time[rows] + seconds * jitter[rows] + np.broadcast_to(later, m)[rows],
        )

    stars = np.clip(np.round(items.quality[steps.item] + 0.7 * (wish - 0.6) + 0.75 * rng.normal(0, 1, m)), 1, 5)
    parts = [
        batch(np.ones(m, dtype=bool), "view", 0),
        batch(ignore, "ignore", -2, item=steps.passed),
        batch(click, "click", 6),
        batch(like, "like", 10),
        batch(share, "share", 12),
        batch(soon, "rating", 14, value=stars),
        batch(cart, "cart", 22),
        batch(purchase, "purchase", 75),
        batch(dislike, "dislike", 4),
        batch(block, "block", 5),
        batch(late, "rating", 75, value=stars, later=rng.gamma(3, 2.2, m), errand=1),
    ]
    parts += _refills(rng, steps, purchase & refill, time, items, days)
    joined = _Batch(
        *(
            np.concatenate(column)
            for column in zip(
                *(tuple(getattr(part, name) for name in _Batch.__struct_fields__) for part in parts), strict=True
            )
        )
    )
    return _honour(joined, visits, len(items.leaf), days)


def _refills(
    rng: np.random.Generator, steps: Steps, bought: Bools, time: F64, items: Items, days: float
) -> list[_Batch]:
    """Buy consumables again while they sell: each time with chance .62, after 26 days or so.

    Each is a session of three events.
    """
    rows = np.flatnonzero(bought)
    clock = time[rows]
    parts = []
    for again in range(5):
        clock = clock + rng.gamma(9, 26 / 9, len(rows))
        goes_on = (rng.random(len(rows)) < 0.62) & (clock < np.minimum(items.gone[steps.item[rows]], days))
        rows, clock = rows[goes_on], clock[goes_on]
        for name, seconds in (("view", 0.0), ("cart", 9.0), ("purchase", 40.0)):
            n = len(rows)
            parts.append(
                _Batch(
                    steps.visit[rows],
                    np.full(n, again + 2, dtype=np.int32),
                    steps.item[rows],
                    np.full(n, _CODE[name], dtype=np.int32),
                    np.full(n, np.nan, dtype=np.float32),
                    clock + seconds * _SECOND,
                )
            )
    return parts


def _honour(batch: _Batch, visits: Visits, n_items: int, days: float) -> _Batch:
    """Drop what lies past the window, and what a user would do with an item after blocking it."""
    pair = visits.user[batch.visit].astype(np.int64) * n_items + batch.item
    blocks = batch.type == _CODE["block"]
    pairs, where = np.unique(pair[blocks], return_inverse=True)
    first = np.full(len(pairs) + 1, np.inf)
    np.minimum.at(first, where, batch.time[blocks])
    at = np.searchsorted(pairs, pair)
    at = np.where((at < len(pairs)) & (np.append(pairs, -1)[at] == pair), at, len(pairs))
    return _take(batch, np.flatnonzero((batch.time < days) & (batch.time <= first[at])))


def _cut(rng: np.random.Generator, batch: _Batch, n: int, visits: Visits, users: Users) -> Log:
    """Keep whole visits, chosen at random, up to exactly n events, and order them by time.

    Of the last visit only its first events are kept.
    """
    turn = rng.permutation(len(visits.user))[batch.visit]
    keep = np.lexsort((batch.time, turn))[:n]
    batch = _take(batch, keep[np.lexsort((batch.type[keep], batch.visit[keep], batch.time[keep]))])
    sessions = batch.visit.astype(np.int64) * 8 + batch.errand * (batch.errand != 0)
    names, first, session = np.unique(sessions, return_index=True, return_inverse=True)
    rank = np.empty(len(names), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(names))
    user = visits.user[batch.visit]
    device = np.where(batch.errand > 0, users.device[user], visits.device[batch.visit]).astype(np.int32)
    return Log(user, batch.item, batch.type, batch.value, batch.time, rank[session], device)


def _take(batch: _Batch, rows: I64) -> _Batch:
    return _Batch(
        batch.visit[rows], batch.errand[rows], batch.item[rows], batch.type[rows], batch.value[rows], batch.time[rows]
    )


def _standardise(wish: F32) -> F64:
    """Centre at 0 and scale to 1 over all pages of the shop."""
    wide = wish.astype(np.float64)
    return np.asarray((wide - wide.mean()) / max(float(wide.std()), 1e-9)) if len(wide) else wide
