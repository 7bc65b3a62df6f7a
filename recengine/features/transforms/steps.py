"""One fitted transform of one feature: what the kernel is told about it.

Below `numeric`, `categorical`, `target` and `embedding`, which fit steps; above them `program` puts steps together.
"""

from typing import NamedTuple

import numpy as np

from recengine.errors import ConfigInvalid
from recengine.features.definition import Feature
from recengine.types import F32, I64, Mask

__all__ = ("LABELLED", "Step", "codes", "refused")

LABELLED = 10_000
"""A number that is to be a category is a whole number below this."""


class Step(NamedTuple):
    """What becomes of one feature; see `kernels/transform.py` for `op` and `table`.

    `table` is (rows, columns) where `op` is TABLE: a row a code, one for codes beyond, one for missing.
    """

    op: int
    columns: tuple[str, ...]
    center: float = 0.0
    scale: float = 1.0
    low: float = -np.inf
    high: float = np.inf
    missing: float = 0.0
    """The result where the value is missing and has no default."""
    table: F32 | None = None
    length: int = 0
    seen: Mask | None = None
    """By row of the table; 0 = not met when fitted."""
    folds: F32 | None = None
    """(folds, rows): the table as fitted without one fold; None = the same for all."""


def codes(feature: Feature, values: F32, labels: tuple[str, ...] | None) -> tuple[I64, tuple[str, ...]]:
    """Read values as categories: int64 (m,) codes, -1 = missing, and the labels.

    A number counts as a category where it is a whole number from 0 to 9,999: its label is itself.

    Raises
    ------
    ConfigInvalid : the values are no categories.
    """
    known = ~np.isnan(values)
    if feature.dtype == "category":
        if labels is None:
            raise refused(feature, f"labels of {feature.domain!r}", "none")
        beyond = values >= len(labels)
        return np.where(known & ~beyond, np.where(known & ~beyond, values, 0), -1).astype(np.int64), labels
    some = values[known]
    if len(some) and not (some.min() >= 0 and some.max() < LABELLED and np.all(some == np.floor(some))):
        raise refused(feature, "a category, or whole numbers from 0 to 9,999", f"{some.min():g} to {some.max():g}")
    found = np.where(known, np.where(known, values, 0), -1).astype(np.int64)
    return found, tuple(str(code) for code in range(int(found.max(initial=-1)) + 1))


def refused(feature: Feature, expected: str, came: str) -> ConfigInvalid:
    """Say that a transform does not fit its feature, and where that was asked for."""
    where = f"{feature.where}: " if feature.where else ""
    return ConfigInvalid(
        f"{where}feature {feature.name!r}, transform {feature.transform!r}: expected {expected}, got {came}",
        hint="choose another transform for it in [features] transforms, or `none`",
    )
