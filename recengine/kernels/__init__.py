"""The only door to `recengine._native`, one file a family: checks shape and dtype once, allocates, calls.

In: numpy arrays as they come. Out: numpy arrays that the door allocated; inputs are never written. A wrong array is
our own defect (`ShapeError`), named by argument; a strided one is copied once. Same bits for any `threads` and batch.

Why the doors are this terse: one request makes about ten kernel calls within 345 microseconds, so a door may cost two.
"""

from recengine.kernels.arrays import array, bad_indptr, positive
from recengine.kernels.threads import cores

__all__ = ("array", "bad_indptr", "cores", "positive")
