"""Every kind of index over the same vectors, each at several efforts, so that they can be compared.

In: vectors and `[index]`. Out: indexes in their turn; one kind is built when the last one was looked at, so that no two
of them are held at once.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec
import numpy as np

from recengine.config import Index as IndexConfig
from recengine.index.exact import Exact
from recengine.index.hnsw import Hnsw
from recengine.index.int8 import Int8
from recengine.index.making import RERANKS, WIDTHS
from recengine.index.neighbours import Index, Progress
from recengine.index.pq import Pq
from recengine.kernels import array, cores
from recengine.types import F32

__all__ = ("KINDS", "Kind", "Trial", "trials")

Kind: TypeAlias = Literal["exact", "int8", "hnsw", "pq"]
KINDS: tuple[Kind, ...] = ("exact", "int8", "hnsw", "pq")


class Trial(msgspec.Struct, frozen=True):
    """One kind, built."""

    built: Exact | Int8 | Hnsw | Pq
    efforts: tuple[int | None, ...]
    """Rising; int8, pq: rows scored again for each that is wanted; hnsw: rows kept in sight; None = nothing to set."""

    def at(self, effort: int | None) -> Index:
        """Return it with one of its efforts; the others end with that, where it is a graph."""
        return self.built if isinstance(self.built, Exact) or effort is None else self.built.with_effort(effort)


def trials(
    vectors: F32,
    config: IndexConfig,
    kinds: Sequence[Kind] = KINDS,
    *,
    graph: Hnsw | None = None,
    seed: int = 0,
    threads: int = 0,
    progress: Progress | None = None,
) -> Iterator[Trial]:
    """Build `kinds` in their order over (n, d) float32 `vectors`.

    Parameters
    ----------
    graph : over the same vectors, and asked by nobody else; spares building one.
    progress : of the kind that is being built.

    Raises
    ------
    ShapeError : `vectors` has the wrong shape or dtype.
    """
    vectors = array("vectors", vectors, np.dtype(np.float32), None, None)
    for kind in kinds:
        if kind == "exact":
            yield Trial(Exact.build(vectors), (None,))
        elif kind == "hnsw":
            held = graph or Hnsw.build(
                vectors, links=config.links, effort=config.effort, seed=seed,
                threads=1 if config.reproducible else cores(threads), progress=progress,
            )  # fmt: skip
            yield Trial(held, WIDTHS)
        elif kind == "int8":
            yield Trial(Int8.build(vectors), RERANKS)
        else:
            yield Trial(Pq.build(vectors, seed=seed, threads=cores(threads), progress=progress), RERANKS)
