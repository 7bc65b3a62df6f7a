"""What two features make, value by value."""

import math

import numpy as np


def derived(op, a, b):
    """One value: NaN where either is missing, where the divisor is 0, and where float32 cannot hold it."""
    if math.isnan(a) or math.isnan(b):
        return np.float32(np.nan)
    if op == "same":
        return np.float32(a == b)
    with np.errstate(all="ignore"):
        made = {"ratio": np.divide, "product": np.multiply, "difference": np.subtract}[op](np.float32(a), np.float32(b))
    return made if np.isfinite(made) else np.float32(np.nan)


def derive(values, plan, operations):
    """The buffer after all rows of the plan."""
    out = values.copy()
    for op, a, wide_a, b, wide_b, row in plan.tolist():
        for i in range(out.shape[1] if wide_a or wide_b else min(out.shape[1], 1)):
            out[row, i] = derived(operations[op], out[a, i if wide_a else 0], out[b, i if wide_b else 0])
    return out
