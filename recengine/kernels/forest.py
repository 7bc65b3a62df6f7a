"""Score rows by a forest of decision trees.

Stands under `trees.py`. In: a matrix and the arrays of a forest. Out: a sum a row.
"""

from typing import NamedTuple

import numpy as np

from recengine._native import forest as _native
from recengine.errors import ShapeError
from recengine.kernels import array, positive
from recengine.types import F32, F64, I32, Mask

__all__ = ("Trees", "predict")

_F32, _F64, _I32, _U8 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int32), np.dtype(np.uint8)


class Trees(NamedTuple):
    """Decision trees as flat arrays."""

    roots: I32
    """(T,) a node, or ~leaf where a tree is one leaf."""
    feature: I32
    """(N,) of nodes, as `threshold` float64, `left`, `right` and `default_left` uint8."""
    threshold: F64
    """A row goes left where x <= threshold."""
    left: I32
    """A child is a node behind its parent, or ~leaf."""
    right: I32
    default_left: Mask
    """1 = NaN goes left."""
    value: F64
    """(L,) of leaves."""


def predict(x: F32, trees: Trees, *, threads: int = 1) -> F64:
    """Sum the leaves that each row reaches, tree by tree.

    Parameters
    ----------
    x : (n, F) float32; NaN goes the default way of each node.
    threads : >= 1.

    Returns
    -------
    (n,) float64; the same bits for any `threads` and any batch.

    Raises
    ------
    ShapeError : an argument has the wrong shape or dtype, or a node names what does not exist.

    Cost: about 2 ns a row, tree and level; 1 ns a node for the check.  Oracle: tests/oracles/forest.py
    """
    x, feature = array("x", x, _F32, None, None), array("feature", trees.feature, _I32, None)
    nodes = len(feature)
    roots, value = array("roots", trees.roots, _I32, None), array("value", trees.value, _F64, None)
    threshold, left = array("threshold", trees.threshold, _F64, nodes), array("left", trees.left, _I32, nodes)
    right = array("right", trees.right, _I32, nodes)
    default_left = array("default_left", trees.default_left, _U8, nodes)
    bad = _native.check(roots, feature, left, right, len(value), x.shape[1])
    if bad >= 0:
        place = f"node {bad}" if bad < nodes else f"root {bad - nodes}"
        raise ShapeError(f"{place}: expected a feature below {x.shape[1]}, later nodes and existing leaves")
    out = np.empty(len(x), np.float64)
    threads = positive("threads", threads)
    _native.predict(x, roots, feature, threshold, left, right, default_left, value, out, threads)
    return out
