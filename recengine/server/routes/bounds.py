"""The bounds of query parameters that routes share."""

from typing import Annotated, TypeAlias

from litestar.params import PathParameter, QueryParameter
from msgspec import Meta

__all__ = (
    "After",
    "Caps",
    "Count",
    "Deadline",
    "Diversity",
    "Explained",
    "Filter",
    "ItemId",
    "ItemIds",
    "Labels",
    "Limit",
    "Named",
    "Names",
    "Visited",
)

Named: TypeAlias = Annotated[str, PathParameter(description="an id, percent-encoded; a slash as `%2F`")]
Count: TypeAlias = Annotated[
    int, QueryParameter(ge=1, le=10_000, description="entries wanted; `serving.max_n` is the limit")
]
Limit: TypeAlias = Annotated[int, QueryParameter(ge=1, le=1000, description="entries of a page")]
After: TypeAlias = Annotated[
    str, QueryParameter(max_length=4096, description="`next` of the page before; empty = the first page")
]
Filter: TypeAlias = Annotated[
    str | None, QueryParameter(max_length=10_000, description="an expression over item attributes, e.g. `price < 50`")
]
Labels: TypeAlias = Annotated[
    tuple[Annotated[str, Meta(max_length=256)], ...], QueryParameter(max_items=100, description="repeatable")
]
ItemId: TypeAlias = Annotated[str | None, QueryParameter(max_length=256, description="of one item only")]
ItemIds: TypeAlias = Annotated[
    tuple[Annotated[str, Meta(max_length=256)], ...],
    QueryParameter(max_items=1000, description="item ids; may be given many times"),
]
Names: TypeAlias = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...],
    QueryParameter(max_items=64, description="true, false, or the event types that hide an item; repeatable"),
]
Caps: TypeAlias = Annotated[
    tuple[Annotated[str, Meta(max_length=140, pattern=r"^[^\x00-\x1f]+:([1-9][0-9]{0,2}|1000)$")], ...],
    QueryParameter(max_items=100, description="`attribute:most`, at most 1000, such as `brand:2`; repeatable"),
]
Diversity: TypeAlias = Annotated[
    float | None, QueryParameter(ge=0, le=1, description="0 = relevance only, 1 = variety only; none = as configured")
]
Deadline: TypeAlias = Annotated[
    float | None, QueryParameter(ge=0, le=60_000, description="milliseconds; models that take longer are left out")
]
Visited: TypeAlias = Annotated[str | None, QueryParameter(max_length=256, description="the visit that this belongs to")]
Explained: TypeAlias = Annotated[
    bool, QueryParameter(description="add what each model contributed, and reasons in words")
]
