"""Check what goes into a kernel: the one gate of every door, so that no kernel checks again.

In: an argument and what it must be. Out: the same array (copied once if strided), or a `ShapeError` that names it.
"""

from collections.abc import Callable
from typing import Any

from recengine._native import arrays as _native
from recengine.errors import ShapeError

__all__ = ("array", "bad_indptr", "positive")

array: Callable[..., Any] = _native.array
"""`array(name, value, dtype, *shape)`: return `value` C-contiguous after checking it (None = any length).

Nothing is cast. Raises ShapeError: not an array, another dtype, number of dimensions or length. Cost: 60 ns.
"""

positive: Callable[[str, int], int] = _native.positive
"""`positive(name, value)`: return an integer >= 1, such as a number of picks; raises ShapeError otherwise."""


def bad_indptr(row: int) -> ShapeError:
    """Say that an indptr does not fit its flat array."""
    return ShapeError(f"indptr: expected 0 = indptr[0] <= indptr[1] <= ... = its length, not at row {row}")
