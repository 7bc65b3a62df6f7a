"""The door to the kernel that makes features of two others. Stands under training (`offline/featuring`) and serving.

In: a buffer whose rows are features, and which row comes of which. Out: those rows, filled in. ratio = a / b; product;
difference = a - b; same = 1.0 where they are equal, else 0.0. Missing (NaN) is what lacks either, a ratio whose divisor
is 0, and what float32 cannot hold. Each value is one operation on float32, whatever stands beside it.
"""

import numpy as np

from recengine._native import derive as _native
from recengine.errors import ShapeError
from recengine.kernels import array
from recengine.types import F32, I32

__all__ = ("OPERATIONS", "derive")

OPERATIONS = ("ratio", "product", "difference", "same")
"""A plan names them by place."""
_F32, _I32 = np.dtype(np.float32), np.dtype(np.int32)


def derive(values: F32, plan: I32) -> None:
    """Fill in derived rows, one after the other.

    Parameters
    ----------
    values : (R, n) float32, C-contiguous; written to.
    plan : (D, 6) int32: operation, left row, 1 or 0, right row, 1 or 0, row of the result, which is neither of them.
        0 = the first value of that row stands for all; where both do, only the first value of the result is written.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype, or a row is not there.

    Cost: 1 us, and 0.3 ns a value.  Oracle: tests/oracles/derive.py
    """
    plan = array("plan", plan, _I32, None, 6)
    if array("values", values, _F32, None, None) is not values or not values.flags.writeable:
        raise ShapeError("values: expected a C-contiguous array that can be written to")
    bad = _native.derive(values, plan)
    if bad >= 0:
        raise ShapeError(
            f"plan: expected operations below {len(OPERATIONS)}, rows below {len(values)} and a result beside the rows "
            f"that it comes of, got {plan[bad].tolist()}"
        )
