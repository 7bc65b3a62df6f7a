"""Category, brand and price of items, by version: what the features of users and pairs read of items.

Below both spines. In: a catalogue (serving: what items are now) or versions (training: what they were). Out: flat
arrays for the kernel. Why 16 bytes a version in one row: a candidate costs one cache line, not three.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np

from recengine.errors import ShapeError
from recengine.kernels.trails import Versions, versions
from recengine.types import F32, I32, I64, NO_TIME, Catalogue, Column

__all__ = ("Labels", "Lanes", "coded", "lanes_from", "lanes_of")

Labels: TypeAlias = Mapping[str, tuple[str, ...]]
"""By domain (`item.category`): labels in order; a label's code is its place."""


class Lanes(NamedTuple):
    """What items are, by version. Made by `lanes_from` or `lanes_of`, which check it."""

    indptr: I64
    """(n_items + 1,): versions `indptr[i]:indptr[i + 1]` are item i's, oldest first."""
    times: I64
    """(K,): when a version begins to count, microseconds; NO_TIME = since ever."""
    rows: I32
    """(K, 4): category, brand, the bits of the price, 0."""
    n_categories: int
    n_brands: int
    versions: Versions
    """All that, as the kernel takes it."""

    @property
    def category(self) -> I32:
        """(K,): codes, -1 = none."""
        return self.rows[:, 0]

    @property
    def brand(self) -> I32:
        """(K,): codes, -1 = none."""
        return self.rows[:, 1]

    @property
    def price(self) -> F32:
        """(K,): NaN = none."""
        return self.rows[:, 2].view(np.float32)


def lanes_from(
    n_items: int,
    item: I32,
    time: I64,
    category: I32,
    brand: I32,
    price: F32,
    n_categories: int,
    n_brands: int,
) -> Lanes:
    """Make lanes of K versions in any order; of those of one item and moment the last one counts.

    Parameters
    ----------
    item : (K,) int32 in 0 .. n_items - 1.
    time : (K,) int64 microseconds; NO_TIME = since ever.
    category, brand : (K,) int32 codes below `n_categories` and `n_brands`, -1 = none.
    price : (K,) float32, NaN = none.

    Raises
    ------
    ShapeError : lengths differ, or an item or code is out of range.

    Cost: a sort, unless the versions are in order.
    """
    k = len(item)
    for name, values in (("time", time), ("category", category), ("brand", brand), ("price", price)):
        if values.shape != (k,):
            raise ShapeError(f"{name}: expected ({k},), got {values.shape}")
    if k and not (item.min() >= 0 and item.max() < n_items):
        raise ShapeError(f"item: expected 0 to {n_items - 1}, got {item.min()} to {item.max()}")
    lanes = np.zeros((k, 4), np.int32)
    lanes[:, 0], lanes[:, 1] = category, brand
    lanes[:, 2] = np.asarray(price, np.float32).view(np.int32)
    rise, later = np.diff(item), time[1:] >= time[:-1]
    if k and not bool(((rise > 0) | ((rise == 0) & later)).all()):
        order = np.lexsort((time, item))
        item, time, lanes = item[order], time[order], lanes[order]
    indptr = np.zeros(n_items + 1, np.int64)
    np.cumsum(np.bincount(item, minlength=n_items), out=indptr[1:])
    time = np.ascontiguousarray(time, np.int64)
    held = versions(indptr, time, lanes, n_categories, n_brands)
    return Lanes(indptr, time, lanes, n_categories, n_brands, held)


def lanes_of(catalogue: Catalogue, labels: Labels, *, category: str, brand: str, price: str) -> Lanes:
    """Make lanes of what items are now: one version each, since ever.

    Parameters
    ----------
    labels : of the domains `item.category` and `item.brand`; labels that they lack are missing.
    category, brand, price : names of attributes; one that is not there, or of another kind, is missing for all.

    Cost: 20 ns an item.
    """
    n = catalogue.n
    of = catalogue.columns
    categories, brands = labels.get("item.category", ()), labels.get("item.brand", ())
    return lanes_from(
        n,
        np.arange(n, dtype=np.int32),
        np.full(n, NO_TIME, np.int64),
        coded(of.get(category), categories, n),
        coded(of.get(brand), brands, n),
        _numbers(of.get(price), n),
        len(categories),
        len(brands),
    )


def coded(column: Column | None, labels: tuple[str, ...], n: int) -> I32:
    """Say the codes of n values by the places of `labels`, int32 (n,); -1 = missing, unseen, or of another kind.

    A list counts as its first label.
    """
    out = np.full(n, -1, np.int32)
    if column is None or column.kind not in {"string", "strings"}:
        return out
    own = column.data.astype(np.int32, copy=False)
    if column.indptr is not None:
        first, filled = column.indptr[:-1], np.diff(column.indptr) > 0
        rows = np.flatnonzero(filled)
        own = np.full(len(filled), -1, np.int32)
        own[rows] = column.data[first[rows]]
    place = {label: code for code, label in enumerate(labels)}
    codes = np.array([*(place.get(label, -1) for label in column.labels), -1], np.int32)  # the last one is of -1
    out[: len(own)] = codes[own[:n]]
    return out


def _numbers(column: Column | None, n: int) -> F32:
    out = np.full(n, np.nan, np.float32)
    if column is not None and column.kind == "number":
        with np.errstate(over="ignore"):
            own = column.data[:n].astype(np.float32)
        out[: len(own)] = np.where(np.isfinite(own), own, np.float32(np.nan))
    return out
