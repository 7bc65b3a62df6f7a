"""The demo shop's forces: what a shopper wants, what everyone wants that day, and what is bought after what.

Stands between the latent world (`taste.py`, `catalogue.py`) and the behaviour (`events.py`). In: users, items, the
window. Out: `Market`.

    utility(u, i, t) = (1 - t/T) S0[u, i] + (t/T) S1[u, i] + appeal[day, i]

S0 and S1 are inner products of user and item vectors (start and end taste) minus the distance in price level;
`appeal` is Zipf plus a life cycle (a bump at an item's own time, a boost after release) plus the season of its style.
An item that is not on sale has appeal -inf. Leaves have seasons of their own, and `companions` are the three items
that go with an item: same brand or style, from a leaf that follows.
"""

import msgspec
import numpy as np

from recengine.demo.catalogue import Items
from recengine.demo.taste import Users
from recengine.demo.tree import CATEGORIES, LEAVES, WEEKEND
from recengine.demo.words import STYLES
from recengine.types import F32, F64, I32

__all__ = ("Market", "open_market")

ABSENT = np.float32(-np.inf)


class Market(msgspec.Struct, frozen=True):
    """The forces as arrays: U users, I items, L leaves, T days.

    `before` and `after` (U, I) float32 taste at both ends of the window; `appeal` (T, I) float32, -inf = not on sale;
    `leaf_season` (T, L) log-odds; `chain` (L, L) log-odds of the next leaf; `shelf` (L, W) item rows a leaf, -1
    padded; `companions` (I, 3) item rows, -1 = none; `window` (T, 30) the shop window of the day: its items, most
    prominent first.
    """

    before: F32
    after: F32
    appeal: F32
    leaf_season: F32
    chain: F32
    shelf: I32
    companions: I32
    window: I32

    def taste(self, users: I32, items: I32, share: F64) -> F32:
        """Look up tastes for paired arrays; `share` 0..1 is the time passed, broadcast against both."""
        share32 = share.astype(np.float32)
        return np.asarray(
            (1 - share32) * self.before[users, items] + share32 * self.after[users, items], dtype=np.float32
        )


def open_market(rng: np.random.Generator, users: Users, items: Items, days: int) -> Market:
    """Compute all forces. Cost: two (U x D)(D x I) products and one (U x I) pass; 80 MB at 5,000 x 2,000."""
    appeal = _appeal(rng, items, days)
    distance = np.abs(users.price.astype(np.float32)[:, None] - items.level.astype(np.float32)[None, :])
    prominence = np.where(np.isfinite(appeal), appeal, -1e9) + rng.gumbel(0, 0.6, appeal.shape)
    depth = min(30, appeal.shape[1])
    return Market(
        before=1.6 * (users.vectors @ items.vectors.T) - np.float32(0.8) * distance,
        after=1.6 * (users.later_vectors @ items.vectors.T) - 0.8 * distance,
        appeal=appeal,
        leaf_season=_leaf_season(rng, days),
        chain=_chain(rng),
        shelf=_shelf(items),
        companions=_companions(rng, items),
        window=np.argsort(-prominence, axis=1, kind="stable")[:, :depth].astype(np.int32),
    )


def _appeal(rng: np.random.Generator, items: Items, days: int) -> F32:
    """Zipf + life cycle + fashion, (T, I)."""
    n = len(items.leaf)
    day = np.arange(days)[:, None] + 0.5
    peak, width = rng.uniform(-0.2 * days, 1.2 * days, n), rng.uniform(0.06, 0.2, n) * days
    bump = rng.exponential(0.6, n) * np.where(rng.random(n) < 0.8, 1, -1)
    appeal = items.appeal + bump * np.exp(-0.5 * ((day - peak) / width) ** 2)
    phase, waves = rng.uniform(0, 2 * np.pi, len(STYLES)), rng.uniform(0.7, 1.3, len(STYLES))
    fashion = 0.4 * np.sin(2 * np.pi * waves * day / days + phase)
    appeal += fashion[:, items.style]
    age = day - items.released
    fresh = items.released > 0
    appeal += np.where(
        fresh & (age > 0), 1.0 * np.exp(-np.maximum(age, 0) / 18.0) - 1.5 * np.exp(-np.maximum(age, 0) / 1.5), 0
    )
    on_sale = (age > 0.5) & (day < items.gone)
    return np.asarray(np.where(on_sale, appeal, ABSENT), dtype=np.float32)


def _leaf_season(rng: np.random.Generator, days: int) -> F32:
    """From the end of winter to the end of summer, plus a slow wave of each leaf, (T, L)."""
    day = np.arange(days)[:, None] + 0.5
    season = np.array([leaf.season for leaf in LEAVES])
    wave = 0.35 * np.sin(
        2 * np.pi * day / days * rng.uniform(0.5, 1.5, len(LEAVES)) + rng.uniform(0, 2 * np.pi, len(LEAVES))
    )
    return np.asarray(-0.9 * season * np.cos(np.pi * day / (0.85 * days)) + wave, dtype=np.float32)


def weekend_odds() -> F32:
    """Log-odds that a leaf gains on Saturday and Sunday, (L,)."""
    return np.array([WEEKEND.get(leaf.category, 0.0) for leaf in LEAVES], dtype=np.float32)


def _chain(rng: np.random.Generator) -> F32:
    """Log-odds of the next leaf given the last, (L, L): stay, follow a chain, stay in the category, wander."""
    names = [leaf.name for leaf in LEAVES]
    column = np.array([CATEGORIES.index(leaf.category) for leaf in LEAVES])
    chain = rng.normal(0, 0.3, (len(LEAVES), len(LEAVES))) + 1.2 * (column[:, None] == column[None, :])
    np.fill_diagonal(chain, 4.0)
    for row, leaf in enumerate(LEAVES):
        for place, name in enumerate(leaf.follows):
            chain[row, names.index(name)] = 4.2 - 0.6 * place
    return np.asarray(chain, dtype=np.float32)


def _shelf(items: Items) -> I32:
    """List the items of every leaf, (L, W), -1 padded."""
    counts = np.bincount(items.leaf, minlength=len(LEAVES))
    shelf = np.full((len(LEAVES), counts.max()), -1, dtype=np.int32)
    order = np.argsort(items.leaf, kind="stable")
    column = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    shelf[items.leaf[order], column] = order
    return shelf


def _companions(rng: np.random.Generator, items: Items) -> I32:
    """Choose the three items that go best with each, (I, 3), best first.

    They are alike in vector or brand and come from leaves that follow.
    """
    names = [leaf.name for leaf in LEAVES]
    out = np.full((len(items.leaf), 3), -1, dtype=np.int32)
    for row, leaf in enumerate(LEAVES):
        here = np.flatnonzero(items.leaf == row)
        there = np.flatnonzero(np.isin(items.leaf, [names.index(name) for name in leaf.follows]))
        if not len(here) or not len(there):
            continue
        fit = 1.2 * items.vectors[here] @ items.vectors[there].T + 1.5 * (
            items.brand[here][:, None] == items.brand[there][None, :]
        )
        fit = fit + 0.35 * items.appeal[there] + rng.gumbel(0, 0.5, fit.shape)
        best = np.argsort(-fit, axis=1, kind="stable")[:, :3]
        out[here, : best.shape[1]] = there[best]
    return out
