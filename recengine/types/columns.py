"""Events, attributes and interactions as columns: what the store gives, features read and models learn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy.typing as npt

from recengine.types.arrays import F32, I16, I32, I64, Mask

__all__ = (
    "Catalogue",
    "Column",
    "EventColumns",
    "Interactions",
    "TrainingData",
)


class EventColumns(msgspec.Struct, frozen=True):
    """Events as columns, ordered by (user, time, seq).

    All arrays have length n: `seq` int64 (the store's own number), `user` and `item` int32 rows, `type` int16 into
    `types`, `value` float32 (NaN = none), `time` int64 (the order: microseconds, or the integers that the feed gave).
    """

    seq: I64
    user: I32
    item: I32
    type: I16
    value: F32
    time: I64
    types: tuple[str, ...]


class Column(msgspec.Struct, frozen=True):
    """One attribute of all items or users.

    kind       data                                                  missing
    bool       uint8 (n,)                                            2
    number     float64 (n,)                                          NaN
    string     int32 (n,) codes into `labels`                        -1
    strings    int32 flat codes into `labels`, with `indptr` (n + 1) an empty row
    timestamp  int64 (n,) microseconds                               NO_TIME
    text       object (n,) of str                                    None
    vector     float32 (n, d)                                        a row of NaN
    """

    kind: Literal["bool", "number", "string", "strings", "timestamp", "text", "vector"]
    data: npt.NDArray[Any]
    labels: tuple[str, ...] = ()
    indptr: I64 | None = None


class Catalogue(msgspec.Struct, frozen=True):
    """What is known of all items (or all users) at one moment."""

    n: int
    columns: Mapping[str, Column]
    available: Mask
    """(n,) uint8; all ones for users."""
    since: I64
    """(n,) `valid_from` of the first version; NO_TIME where never described."""
    held: I64 | None = None
    """(n,) `valid_from` of the version that is shown; NO_TIME where never described, NO_TIME + 1 for since ever."""


class Interactions(msgspec.Struct, frozen=True, gc=False):
    """Who engaged with what: one row a user, one entry a (user, item), oldest first.

    `indptr` int64 (n_users + 1,), `items` int32 (nnz,) unique within a row and ordered by the time of the last event,
    `weights` float32 (nnz,): > 0 engaged, < 0 negative evidence (a dislike); `times` int64 (nnz,) of the last event.
    `values` float32 (nnz,): the latest explicit value (a rating), NaN = none; None where no event has one.
    Made in one place for training and serving: `features/interaction.py`.
    """

    n_users: int
    n_items: int
    indptr: I64
    items: I32
    weights: F32
    times: I64
    values: F32 | None = None


class TrainingData(msgspec.Struct, frozen=True):
    """All that an algorithm may learn from, as of one moment."""

    interactions: Interactions
    items: Catalogue
    users: Catalogue
    as_of: int
    """Nothing in here is later than this; int64 microseconds (or the feed's own order)."""
