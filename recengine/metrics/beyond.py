"""Beyond accuracy: how much of the catalogue the lists reach, how new they are, how evenly they treat the items.

Stands beside `ranking` in offline validation. In: recommended items alone (and training counts). No held-out data.
"""

import numpy as np
import numpy.typing as npt

from recengine.types import F64, I32, Mask

__all__ = ("coverage", "gini", "novelty")


def coverage(items: I32, eligible: Mask) -> float:
    """Share of the eligible catalogue that stands in at least one list, 0..1.

    Catalogue coverage (Herlocker et al. 2004, section 5.1). `items` (U, n) int32, -1 = empty place; `eligible`
    (n_items,) uint8. NaN where nothing is eligible.
    """
    allowed = eligible == 1
    if not allowed.any():
        return float("nan")
    shown = np.zeros(len(eligible), dtype=np.bool_)
    shown[items[items >= 0]] = True
    return float((shown & allowed).sum() / allowed.sum())


def novelty(items: I32, counts: npt.NDArray[np.number]) -> F64:
    """Mean self-information of each list, in bits: mean of -log2 p(item) (Vargas and Castells 2011, section 4).

    p = the item's share of all training engagements, `counts` (n_items,); an item never engaged with counts 1, so
    that it is at the finite end of the scale. Returns (U,) float64, NaN for an empty list; `items` as in `coverage`.
    """
    total = float(counts.sum())
    if total <= 0:
        return np.full(len(items), np.nan)
    information = -np.log2(np.maximum(counts, 1) / max(total, 1.0))
    there = items >= 0
    bits = np.where(there, information[np.maximum(items, 0)], 0.0).sum(axis=1)
    places = there.sum(axis=1)
    return np.where(places > 0, bits / np.maximum(places, 1), np.nan)


def gini(items: I32, eligible: Mask) -> float:
    """Inequality of exposure over the eligible items: 0 = all shown equally often, towards 1 = one item takes all.

    Gini (1912) as in Fleder and Hosanagar (2009); `items` and `eligible` as in `coverage`. NaN where nothing is
    eligible or shown.
    """
    allowed = eligible == 1
    shown = np.bincount(items[items >= 0], minlength=len(eligible))[allowed]
    n, total = len(shown), int(shown.sum())
    if total == 0:
        return float("nan")
    rank = np.arange(1, n + 1)
    return float(((2 * rank - n - 1) @ np.sort(shown)) / (n * total))
