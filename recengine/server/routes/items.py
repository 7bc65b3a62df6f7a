"""Items: lists that are not for one user, and items like an item."""

from typing import Annotated

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import Parameter

from recengine.server.asked import Asked, named
from recengine.server.routes.bounds import Count
from recengine.types import Recommendation

__all__ = ("HANDLERS", "ItemList")


class ItemList(msgspec.Struct, frozen=True):
    """Items that are not chosen for one user."""

    items: tuple[Recommendation, ...]


@get("/v1/items/popular", sync_to_thread=False)
def popular(
    request: Asked,
    n: Count = 10,
    category: Annotated[str | None, Parameter(max_length=256, description="of one category only")] = None,
) -> ItemList:
    """List the most popular items."""
    return ItemList(request.engine.popular(n, category=category))


@get("/v1/items/trending", sync_to_thread=False)
def trending(request: Asked, n: Count = 10) -> ItemList:
    """List what is popular of late."""
    return ItemList(request.engine.trending(n))


@get("/v1/items/latest", sync_to_thread=False)
def latest(request: Asked, n: Count = 10) -> ItemList:
    """List the newest items."""
    return ItemList(request.engine.latest(n))


@get("/v1/items/{item_id:str}/similar", sync_to_thread=False)
def similar_items(request: Asked, item_id: str, n: Count = 10) -> ItemList:
    """List the items most like an item."""
    return ItemList(request.engine.similar_items(named(item_id, "item_id"), n))


HANDLERS: tuple[HTTPRouteHandler, ...] = (popular, trending, latest, similar_items)
