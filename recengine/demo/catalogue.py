"""The demo shop's items: what is true of them, and what a feed tells.

Stands beside `taste.py` (items get vectors in the space of the personas) and under `events.py`. In: a seed, a size,
the window. Out: `Items`. An item comes from leaf -> brand (price level, home style) -> style, material, colour,
audience; its vector is its style, its audience and a hidden part shared with its brand. So category, brand, words and
picture tell most of it, and behaviour alone tells the rest.
"""

import msgspec
import numpy as np

from recengine.demo.taste import HIDDEN
from recengine.demo.tree import CATEGORIES, LEAVES
from recengine.demo.words import AUDIENCES, BRANDS, COLOURS, STYLE_COLOURS, STYLES, Look, describe, entitle
from recengine.types import F32, F64, I32, Bools

__all__ = ("Items", "draw_items", "tags")

LAST_DAYS = 4.0
"""Items released in these last days are the cold ones."""


class Items(msgspec.Struct, frozen=True):
    """What is true of n items.

    Hidden: `vectors` (n, D), `appeal` (n,) log, Zipf-like; `level` (n,) the price in brand levels around 0; `quality`
    (n,) 1..5; `cheapness` (n,) log of the leaf's typical price over the price. Seen: codes `leaf`, `brand`, `style`,
    `colour`, `audience`, and `material`, `title`, `text`, `price`, `released` and `gone` (days since the window's
    start; `gone` = inf while it sells).
    """

    vectors: F32
    appeal: F64
    level: F64
    quality: F64
    cheapness: F64
    leaf: I32
    brand: I32
    style: I32
    colour: I32
    audience: I32
    material: tuple[str, ...]
    title: tuple[str, ...]
    text: tuple[str, ...]
    price: F64
    released: F64
    gone: F64

    @property
    def available(self) -> Bools:
        """(n,) whether it can be bought at the end of the window."""
        return np.isinf(self.gone)


def draw_items(rng: np.random.Generator, n: int, days: int) -> Items:
    """Draw n items; the first of every leaf sells through the whole window. Cost: O(n)."""
    shown = int(np.clip(n // 40, 2, len(CATEGORIES)))  # a small shop has few categories, each with enough items
    first_leaves = np.array([row for row, leaf in enumerate(LEAVES) if CATEGORIES.index(leaf.category) < shown])
    share = rng.dirichlet(np.full(len(first_leaves), 6.0))
    leaf = first_leaves[np.concatenate((np.arange(len(first_leaves)), rng.choice(len(first_leaves), n, p=share)))][:n]
    anchor = np.arange(n) < len(first_leaves)
    order = rng.permutation(n)
    leaf, anchor = leaf[order].astype(np.int32), anchor[order]

    brand = _brands(rng, leaf)
    brand_style = rng.integers(len(STYLES), size=len(BRANDS))
    brand_level = rng.normal(0, 0.7, len(BRANDS))
    style = np.where(rng.random(n) < 0.6, brand_style[brand], rng.integers(len(STYLES), size=n)).astype(np.int32)
    colour = _colours(rng, style)
    audience = rng.integers(len(AUDIENCES), size=n).astype(np.int32)
    picks = rng.integers(0, 10_000, (n, 8))

    hidden = 0.55 * rng.normal(0, 1, (len(BRANDS), HIDDEN))[brand] + 0.85 * rng.normal(0, 1, (n, HIDDEN))
    vectors = np.hstack((np.eye(len(STYLES))[style], 0.8 * np.eye(len(AUDIENCES))[audience], 0.5 * hidden)).astype(
        np.float32
    )
    level = brand_level[brand] + rng.normal(0, 0.25, n)
    typical = np.array([LEAVES[row].price for row in leaf])
    price = np.maximum(np.round(typical * np.exp(0.45 * level)) - np.where(rng.random(n) < 0.6, 0.1, 0.01), 0.99)

    released = np.where(rng.random(n) < 0.72, -rng.exponential(300, n), rng.random(n) * days)
    released = np.where(rng.random(n) < 0.03, days - LAST_DAYS * rng.random(n), released)
    released[anchor] = -rng.exponential(300, anchor.sum())
    gone = np.where(rng.random(n) < 0.02, np.maximum(days - 40 * rng.random(n), released + 5), np.inf)
    gone[anchor | (gone > days)] = np.inf
    rank = rng.permutation(n) + 1.0
    looks = [
        Look(
            LEAVES[leaf[i]],
            BRANDS[brand[i]],
            STYLES[style[i]],
            LEAVES[leaf[i]].materials[picks[i, 7] % 3],
            COLOURS[colour[i]][0],
            int(audience[i]),
            tuple(row),
        )
        for i, row in enumerate(picks.tolist())
    ]
    return Items(
        vectors=vectors,
        appeal=-0.55 * np.log((rank + n / 100) / n),
        level=level,
        quality=np.clip(3.7 + 0.45 * rng.normal(0, 1, n), 1.5, 4.9),
        cheapness=np.log(typical / price),
        leaf=leaf,
        brand=brand,
        style=style,
        colour=colour,
        audience=audience,
        material=tuple(look.material for look in looks),
        title=tuple(entitle(look) for look in looks),
        text=tuple(describe(look) for look in looks),
        price=price.round(2),
        released=released,
        gone=gone,
    )


def tags(items: Items, i: int) -> list[str]:
    """List the tags of item i: style, material, colour, audience, and the leaf's trait."""
    leaf = LEAVES[items.leaf[i]]
    out = [
        STYLES[items.style[i]].name,
        items.material[i],
        COLOURS[items.colour[i]][0],
        f"for {AUDIENCES[items.audience[i]][0]}",
    ]
    if leaf.consumable:
        out.append("refill")
    if leaf.season > 0.5:
        out.append("summer")
    elif leaf.season < -0.5:
        out.append("winter")
    return out


def _brands(rng: np.random.Generator, leaf: I32) -> I32:
    """Give every item one of the ten or so brands that its category carries; a few big, many small."""
    size = rng.dirichlet(np.full(len(BRANDS), 1.5)) + 0.004
    out = np.empty(len(leaf), dtype=np.int32)
    category = np.array([CATEGORIES.index(LEAVES[row].category) for row in leaf])
    for row in range(len(CATEGORIES)):
        carried = rng.choice(len(BRANDS), 11, replace=False)
        here = np.flatnonzero(category == row)
        out[here] = rng.choice(carried, len(here), p=size[carried] / size[carried].sum())
    return out


def _colours(rng: np.random.Generator, style: I32) -> I32:
    """Draw a colour, in three of four cases one that the style prefers."""
    preferred = np.array([np.resize(STYLE_COLOURS[one.name], 12) for one in STYLES])
    roll = rng.integers(12, size=len(style))
    return np.where(
        rng.random(len(style)) < 0.75, preferred[style, roll], rng.integers(len(COLOURS), size=len(style))
    ).astype(np.int32)
