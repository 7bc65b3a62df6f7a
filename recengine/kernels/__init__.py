"""The only door to `recengine._native`, one file a family: checks shape and dtype once, allocates, calls.

In: numpy arrays as they come. Out: numpy arrays that the door allocated; inputs are never written. A wrong array is our own defect
(`ShapeError`), named by argument; a strided one is copied once. Kernels give the same bits for any `threads` and any batch size.

Why the checks are this terse: one request makes about ten kernel calls within 345 microseconds, so a door may cost at most two.
"""

from typing import Any

import numpy as np

from recengine.errors import ShapeError

__all__ = ("array", "bad_indptr", "positive")


def array(name: str, value: Any, dtype: np.dtype[Any], *shape: int | None) -> Any:
    """Return `value` as a C-contiguous array after checking it.

    Parameters
    ----------
    name : the argument, for the error.
    dtype : the one dtype that the kernel takes; nothing is cast.
    shape : one length a dimension, None = any.

    Raises
    ------
    ShapeError : not an array, another dtype, number of dimensions or length.
    """
    if isinstance(value, np.ndarray) and value.dtype == dtype and value.ndim == len(shape):
        for have, want in zip(value.shape, shape, strict=True):
            if want is not None and have != want:
                break
        else:
            return value if value.flags.c_contiguous else np.ascontiguousarray(value)
    want_text = ", ".join("any" if s is None else str(s) for s in shape)
    got = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
    raise ShapeError(f"{name}: expected {dtype} ({want_text}), got {got}")


def positive(name: str, value: int) -> int:
    """Return `value` when it is an integer >= 1, such as a number of picks or threads.

    Raises
    ------
    ShapeError : it is not.
    """
    if isinstance(value, (int, np.integer)) and value >= 1:
        return int(value)
    raise ShapeError(f"{name}: expected an integer >= 1, got {value!r}")


def bad_indptr(row: int) -> ShapeError:
    """Say that an indptr does not fit its flat array."""
    return ShapeError(f"indptr: expected 0 = indptr[0] <= indptr[1] <= ... = length of the flat array, got a break at row {row}")
