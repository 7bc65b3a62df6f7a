"""Fit the encodings of categories that need no outcome: ordinal, one-hot and hashing.

Offline, on training rows only. In: codes of one feature, int64 (m,), -1 = missing. Out: a `Step` with a table by code.
A code of the vocabulary that no training row had counts as unseen, as do codes beyond it.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b

import numpy as np

from recengine.features.definition import Feature
from recengine.features.transforms.steps import Step
from recengine.kernels.transform import TABLE
from recengine.types import F32, I64

__all__ = ("CATEGORICAL", "COMMONEST", "HASHED", "by_commonness", "coded")

COMMONEST = 32
"""Categories of a one-hot encoding that have a column of their own."""
HASHED = 16
"""Columns of a hashing."""


def by_commonness(codes: I64, n_labels: int) -> tuple[I64, I64]:
    """Order the codes that occur by how many rows have them, ties to the lower; also return the counts by code."""
    counts = np.bincount(codes[codes >= 0], minlength=n_labels).astype(np.int64)
    order = np.argsort(-counts, kind="stable")
    return order[: int((counts > 0).sum())], counts


def coded(feature: Feature, columns: tuple[str, ...], rows: F32, counts: I64, folds: F32 | None = None) -> Step:
    """Make the step of a table whose last two rows are codes beyond the vocabulary and missing."""
    seen = np.concatenate((counts > 0, [False, True])).astype(np.uint8)
    return Step(TABLE, columns or (feature.name,), table=rows, length=len(counts), seen=seen, folds=folds)


def _ordinal(feature: Feature, codes: I64, labels: tuple[str, ...]) -> Step:
    """1 = the commonest category, 2 the next ...; unseen = one more than all of them; missing = 0."""
    order, counts = by_commonness(codes, len(labels))
    table = np.full((len(labels) + 2, 1), len(order) + 1, np.float32)
    table[order, 0] = np.arange(1, len(order) + 1)
    table[-1] = 0
    return coded(feature, (), table, counts)


def _onehot(feature: Feature, codes: I64, labels: tuple[str, ...]) -> Step:
    """Give each of the 32 commonest a column, and one to all others, unseen ones included; missing = 0 in all."""
    order, counts = by_commonness(codes, len(labels))
    own = order[:COMMONEST]
    table = np.zeros((len(labels) + 2, len(own) + 1), np.float32)
    table[:, -1] = 1
    table[own] = 0
    table[own, np.arange(len(own))] = 1
    table[-1] = 0
    return coded(feature, (*(f"{feature.name}={labels[code]}" for code in own), f"{feature.name}=*"), table, counts)


def _hashing(feature: Feature, codes: I64, labels: tuple[str, ...]) -> Step:
    """Put +1 or -1 into one of 16 columns, by the label's hash (Weinberger et al. 2009); unseen labels too."""
    _, counts = by_commonness(codes, len(labels))
    table = np.zeros((len(labels) + 2, HASHED), np.float32)
    for code, label in enumerate(labels):
        byte, sign = blake2b(label.encode("utf-8"), digest_size=2).digest()
        table[code, byte % HASHED] = 1 if sign & 1 else -1
    return coded(feature, tuple(f"{feature.name}~{column:02}" for column in range(HASHED)), table, counts)


CATEGORICAL: Mapping[str, Callable[[Feature, I64, tuple[str, ...]], Step]] = {
    "ordinal": _ordinal,
    "onehot": _onehot,
    "hashing": _hashing,
}
