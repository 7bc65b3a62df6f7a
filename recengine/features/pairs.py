"""Features of a user with an item: how often and when the user met it, its category and its brand.

Below both spines. In: the user's trail, what items are, a moment, items. Out: float32 (7, n).
"""

from recengine.features.lanes import Lanes
from recengine.features.trails import Lookback, Trail
from recengine.kernels import trails as kernel
from recengine.types import F32, I32

__all__ = ("ALL_PAIRS", "PAIR_VALUES", "read_pairs")

ALL_PAIRS = kernel.ALL_PAIRS
"""All of `PAIR_VALUES` are wanted: a bit each."""

PAIR_VALUES = (
    "pair_events",
    "pair_idle",
    "category_events",
    "category_share",
    "category_idle",
    "brand_events",
    "brand_idle",
)
"""What is read of a user and an item from the latest `history` events before t.

pair_events        events of the user engaged in with the item
pair_idle          days from the last of them to t; missing = never
category_events    events engaged in with items of its category, as of t; missing = it has none
category_share     their share among those with a category
category_idle      days from the last of them to t; missing = never
brand_events       events engaged in with items of its brand, as of t; missing = it has none
brand_idle         days from the last of them to t; missing = never
"""


def read_pairs(
    trail: Trail,
    lanes: Lanes,
    t: int,
    items: I32,
    look: Lookback,
    out: F32 | None = None,
    wanted: int = ALL_PAIRS,
) -> F32:
    """Read `PAIR_VALUES` of one user with each of n items as of t, float32 (7, n).

    Where `out` is given it is filled and returned. Bit k of `wanted`: row k is written; others are what they were.
    Cost: 2 us, 6 ns an event that is looked at, 4 ns an item.
    """
    told = kernel.Events(*trail[:4])
    return kernel.read(told, trail.timed, lanes.versions, look, t, items, user=False, wanted=wanted, out=out)[1]
