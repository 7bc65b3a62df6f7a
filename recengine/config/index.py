"""`[index]`: how the nearest neighbours of a vector are found."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ("Index",)


class Index(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The index over the item vectors of the first model that has them."""

    kind: Annotated[
        Literal["auto", "exact", "int8", "hnsw", "pq"],
        Meta(description="exact = all rows; int8 = all rows, a byte a factor; hnsw = a graph; pq = 16 bytes a row; auto = by size and measured recall"),
    ] = "auto"
    recall: Annotated[float, Meta(ge=0.5, le=1, description="recall@100 that is wanted of an approximate index, measured when it is built")] = 0.95
    rerank: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None,
        Meta(description="int8, pq: rows scored again in float32 for each that is wanted; none = the fewest that reach `recall`"),
    ] = None
    projection: Annotated[
        Annotated[int, Meta(ge=1, le=4096)] | None,
        Meta(description="principal directions to search in, the finds scored again by whole vectors; none = all of them"),
    ] = None
    exact_up_to: Annotated[int, Meta(ge=0, le=1_000_000_000, description="auto: so many rows are scanned exactly")] = 1_000_000
    graph_up_to: Annotated[int, Meta(ge=0, le=1_000_000_000, description="auto: so many rows get a graph, more get pq")] = 5_000_000
    links: Annotated[int, Meta(ge=2, le=128, description="hnsw: links of a row in the graph")] = 16
    effort: Annotated[int, Meta(ge=8, le=10_000, description="hnsw: rows looked at to find these")] = 200
    reproducible: Annotated[bool, Meta(description="hnsw: build with one thread, so that the same vectors give the same graph; false = all cores")] = True
