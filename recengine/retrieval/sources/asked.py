"""What every candidate source is told of B requests, and the one shape that all of them have."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import msgspec

from recengine.retrieval.cold import Attributes
from recengine.retrieval.sources.orders import Orders
from recengine.types import I32, Bools, Mask, Query

__all__ = ("Asked", "Find", "Source")


class Asked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a source may look at.

    `mask` uint8 (B, n_items), eligible items; `cold` bool (B,); `favourites` int32 (B, C) category rows of `orders`,
    dearest first, -1 = none; `attributes` what is known of the user of a cold row, None = what was known at training.
    """

    query: Query
    mask: Mask
    orders: Orders
    cold: Bools
    favourites: I32
    attributes: Attributes = None
    threads: int = 1


Find: TypeAlias = Callable[[Asked], I32 | None]
"""(B, n) int32 items, best first, -1 = none; None = nobody of the batch is one for this source."""


class Source(NamedTuple):
    """One source of one deployment."""

    name: str
    find: Find
    budget_ms: float | None
    """Of one request; what takes longer is left out. None = it looks a precomputed order up, and is never skipped."""
