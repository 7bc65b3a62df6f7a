"""Make an index from vectors, or from the folder that one was saved into.

In: vectors and `[index]`. Out: an `Index`.
"""

from pathlib import Path

import numpy as np

from recengine.config import Index as IndexConfig
from recengine.errors import BadArtifact
from recengine.index import files
from recengine.index.exact import Exact
from recengine.index.int8 import Int8
from recengine.index.neighbours import Index, Progress
from recengine.kernels import array
from recengine.types import F32

__all__ = ("build", "load")


def build(
    vectors: F32, config: IndexConfig, *, seed: int = 0, threads: int = 0, progress: Progress | None = None
) -> Index:
    """Build what `config.kind` says over the rows of `vectors`.

    Parameters
    ----------
    vectors : (n, d) float32; a row with a value that is not finite is never found. Nothing of it is kept.
    seed : of everything drawn; the same seed gives the same index, whatever `threads`, except where
        `config.reproducible` is false.
    threads : to build with; 0 = all cores.

    Raises
    ------
    ShapeError : `vectors` has the wrong shape or dtype.
    """
    vectors = array("vectors", vectors, np.dtype(np.float32), None, None)
    lost = ~np.isfinite(vectors).all(axis=1)
    if lost.any():
        vectors = vectors.copy()
        vectors[lost] = np.nan
    if config.kind == "int8":
        return Int8.build(vectors, config.rerank)
    return Exact.build(vectors)


def load(config: IndexConfig, folder: Path) -> Index:
    """Read what `Index.save` wrote; every file is hashed before it is read.

    Raises
    ------
    BadArtifact : a file is missing, damaged, or of another format.
    """
    card = files.read(folder)
    if card.kind == Exact.kind:
        return Exact.load(folder, card)
    if card.kind == Int8.kind:
        return Int8.load(folder, card)
    raise BadArtifact(f"{folder.name}/index.json: unknown kind {card.kind!r}", hint="train again, or roll back")
