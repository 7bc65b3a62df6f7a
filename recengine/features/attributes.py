"""Attributes of items and users as features see them: numbers, and codes of categories; the same everywhere.

Below both spines. In: a column of a catalogue, or of all versions there ever were. Out: float32, NaN = missing. The
labels that codes stand for are fitted once a deployment, and kept with it: code c is `labels[domain][c]`.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from recengine.features.definition import AttributeOf, Feature
from recengine.features.described import value_of
from recengine.features.lanes import Labels, coded
from recengine.features.timelines import Told
from recengine.types import F32, NO_TIME, Catalogue, Column

__all__ = ("attribute_value", "attribute_values", "labels_of", "numbers")

_BEYOND = 2.0**128 - 2.0**103
"""From here on float32 has no number that is nearer than infinity."""


def attribute_values(column: Column | None, how: AttributeOf, labels: tuple[str, ...], n: int) -> F32:
    """Return an attribute of n items or users as float32.

    Parameters
    ----------
    column : of n values; None = nobody has the attribute.
    labels : of the feature's domain; a text that is not among them is missing. A list counts as its first text.
    """
    if column is None:
        return np.full(n, np.nan, np.float32)
    if how.aspect == "length":
        lengths = [np.nan if text is None else len(text) for text in column.data.tolist()]
        return np.array(lengths, np.float32)
    if how.aspect == "count":
        lists = column.indptr
        return np.full(n, np.nan, np.float32) if lists is None else np.diff(lists).astype(np.float32)
    if column.kind in ("number", "bool"):
        return numbers(column)
    codes = coded(column, labels, n)
    return np.where(codes >= 0, codes, np.nan).astype(np.float32)


def attribute_value(owners: Catalogue, how: AttributeOf, place: Mapping[str, int], row: int) -> float:
    """Return the attribute of one item or user, as `attribute_values` does; NaN for one that was never described.

    Parameters
    ----------
    place : the codes of the feature's labels. Cost: 1 us.
    """
    column = owners.columns.get(how.attribute)
    if column is None or (owners.held is not None and owners.held[row] == NO_TIME):
        return math.nan
    if how.aspect == "count":
        return math.nan if column.indptr is None else float(column.indptr[row + 1] - column.indptr[row])
    value = value_of(column, row)
    if value is None:
        return math.nan
    if how.aspect == "length":
        return float(len(value)) if isinstance(value, str) else math.nan
    if column.kind == "strings" and isinstance(value, list):
        return float(place.get(str(value[0]), math.nan))
    if isinstance(value, str):
        return float(place.get(value, math.nan))
    if column.kind not in ("number", "bool") or isinstance(value, list):
        return math.nan
    return float(np.float32(value)) if abs(value) < _BEYOND else math.nan


def numbers(column: Column) -> F32:
    """Return numbers, and yes as 1 and no as 0; what float32 cannot hold is missing."""
    if column.kind == "bool":
        return np.where(column.data == 2, np.nan, column.data).astype(np.float32)
    with np.errstate(over="ignore"):
        values = column.data.astype(np.float32)
    return np.where(np.isfinite(values), values, np.float32(np.nan))


def labels_of(
    features: Iterable[Feature],
    items: Mapping[str, Column],
    users: Mapping[str, Column],
    parts: Mapping[str, str],
    told: Mapping[str, Told],
    context: Mapping[str, Column] = {},
) -> Labels:
    """Fit the labels of every domain, ascending.

    Parameters
    ----------
    items, users : attributes as they stand at the moment of the deployment.
    parts : attributes by what they play: category, brand; their domains are `item.category`, `item.brand`. One that is
        called so and plays no part has the domain `item.=category`.
    told : timelines by the name of their feature.
    context : by key what requests told of the rows that are learned from; labels that none of them has are left out.
    """
    found: dict[str, tuple[str, ...]] = {}
    for domain in dict.fromkeys(feature.domain for feature in features if feature.domain):
        owner, _, name = domain.partition(".")
        if owner == "feature":
            found[domain] = told[name].labels or () if name in told else ()
        elif owner in ("item", "user"):
            name = parts.get(name, name.removeprefix("="))
            column = items.get(name) if owner == "item" else users.get(name)
            found[domain] = tuple(sorted(column.labels)) if column is not None else ()
        else:
            found[domain] = _met(context.get(name))
    return found


def _met(column: Column | None) -> tuple[str, ...]:
    if column is None:
        return ()
    return tuple(sorted(column.labels[code] for code in np.unique(column.data).tolist() if code >= 0))
