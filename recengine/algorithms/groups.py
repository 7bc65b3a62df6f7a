"""Groups of users by attribute: which values fall together, the same in training and for a value of a request.

Stands below `demographic`. In: a user `Column` or one attribute value. Out: group codes 0 .. size - 1 of that
attribute.
"""

from bisect import bisect_right
from math import isfinite
from typing import Any, Literal

import msgspec
import numpy as np

from recengine.types import I32, I64, Column

__all__ = ("Attribute", "attribute_of", "memberships")

BINS = 5
"""Quintiles: enough to tell the young from the old, few enough that each holds a fifth of the users."""


class Attribute(msgspec.Struct, frozen=True):
    """How one attribute falls into groups: by label, or (`edges`, ascending) by the interval that a number lies in."""

    name: str
    kind: Literal["bool", "number", "string", "strings"]
    labels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """Number of groups."""
        return {"bool": 2, "number": len(self.edges) + 1}.get(self.kind, len(self.labels))

    def codes(self, value: Any) -> list[int]:
        """Return the groups of `value`, unique and ascending; empty where it is missing, new, or of another type.

        A request may bring a value of any type, so nothing raises; an integer beyond float64 lies in the outer bin.
        """
        if isinstance(value, bool):
            return [int(value)] if self.kind == "bool" else []
        if isinstance(value, int | float):
            known = self.kind == "number" and (isinstance(value, int) or isfinite(value))
            return [bisect_right(self.edges, value)] if known else []  # exact, unlike numpy, for any integer
        if self.kind not in ("string", "strings"):
            return []
        values = value if isinstance(value, list | tuple) else [value]
        return sorted({self.labels.index(v) for v in values if isinstance(v, str) and v in self.labels})


def attribute_of(name: str, column: Column) -> Attribute | None:
    """Describe the groups of a user column; None where its kind (timestamp, text, vector) has none."""
    if column.kind == "bool":
        return Attribute(name, "bool")
    if column.kind == "number":
        known = column.data[np.isfinite(column.data)]
        quantiles = np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if len(known) else np.empty(0)
        edges = (
            quantiles[quantiles > known.min()] if len(known) else quantiles
        )  # an edge at the minimum has nobody below it
        return Attribute(name, "number", edges=tuple(edges.tolist()))
    if column.kind == "string":
        return Attribute(name, "string", labels=column.labels)
    if column.kind == "strings":
        return Attribute(name, "strings", labels=column.labels)
    return None


def memberships(attribute: Attribute, column: Column) -> tuple[I64, I32]:
    """List (user row, group code) of a training column; no value = no group, several labels = a group each."""
    if column.kind == "strings" and column.indptr is not None:
        return np.repeat(np.arange(len(column.indptr) - 1), np.diff(column.indptr)), column.data.astype(np.int32)
    if column.kind == "number":
        users = np.flatnonzero(np.isfinite(column.data))
        return users, np.searchsorted(attribute.edges, column.data[users], side="right").astype(np.int32)
    users = np.flatnonzero(column.data != 2) if column.kind == "bool" else np.flatnonzero(column.data >= 0)
    return users, column.data[users].astype(np.int32)
