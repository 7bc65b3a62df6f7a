"""Nearest neighbours by inner product: exact scans, a graph, product quantization; built aside, swapped whole.

Floor 2, and the only door to `hnswlib`. In: the item vectors of a factor model and `[index]`. Out: an `Index`, whose
`search` answers for a batch of query vectors, under masks, always in the bits of `kernels.dot`.
"""

from recengine.index.making import build, load
from recengine.index.neighbours import Index, Progress
from recengine.index.patched import Patched
from recengine.index.projected import Projected

__all__ = ("Index", "Patched", "Progress", "Projected", "build", "load")
