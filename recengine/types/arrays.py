"""Names for arrays and moments, as every floor uses them."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = (
    "F32",
    "F64",
    "I16",
    "I32",
    "I64",
    "MICROSECONDS_FROM",
    "NO_TIME",
    "U32",
    "U64",
    "Bools",
    "Mask",
)

F32: TypeAlias = npt.NDArray[np.float32]
F64: TypeAlias = npt.NDArray[np.float64]
I16: TypeAlias = npt.NDArray[np.int16]
I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Mask: TypeAlias = npt.NDArray[np.uint8]
"""1 = may be picked, 0 = may not; (n_items,) or (B, n_items)."""

NO_TIME = int(np.iinfo(np.int64).min)
"""A moment that is not known."""
MICROSECONDS_FROM = 10**14
"""An order that reaches this is a time in microseconds (1973-03-03); milliseconds of today stay 50 times below it."""
