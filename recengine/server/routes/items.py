"""Items: lists that are not for one user, items like an item, and what is known of them."""

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import delete, get, patch, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter
from msgspec import Meta

from recengine.errors import BadRequest, UnknownItem
from recengine.server.asked import Asked, named
from recengine.server.routes.answers import described
from recengine.server.routes.bounds import After, Count, Limit, Named
from recengine.types import Item, Receipt, Recommendation
from recengine.types.doors import Attributes, Id

__all__ = ("HANDLERS", "ItemBody", "ItemList", "ItemPage", "ItemPatch")


class ItemList(msgspec.Struct, frozen=True):
    """Items that are not chosen for one user."""

    items: tuple[Recommendation, ...]


class ItemPage(msgspec.Struct, frozen=True):
    """A page of items."""

    items: list[Item]
    next: str | None
    """`after` of the next page; null = this is the last."""


class ItemBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What an item is, where the path names it. PUT: what is not said is gone; PATCH: it stays."""

    item_id: Id | None = None
    """May repeat what the path says."""
    attributes: Attributes = {}
    """PATCH: null takes an attribute away."""
    available: bool | None = None
    """Whether it may be shown; PUT: true where it is not said."""
    valid_from: Any = None
    """A moment; null = since ever for a first version, now for a later one."""


class ItemPatch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What changes of an item."""

    item_id: Id
    attributes: Attributes = {}
    """null takes an attribute away."""
    available: bool | None = None
    valid_from: Any = None


@get("/v1/items/popular", responses=described(), sync_to_thread=False)
def popular(
    request: Asked,
    n: Count = 10,
    category: Annotated[str | None, QueryParameter(max_length=256, description="of one category only")] = None,
) -> ItemList:
    """List the most popular items."""
    return ItemList(request.engine.popular(n, category=category))


@get("/v1/items/trending", responses=described(), sync_to_thread=False)
def trending(request: Asked, n: Count = 10) -> ItemList:
    """List what is popular of late."""
    return ItemList(request.engine.trending(n))


@get("/v1/items/latest", responses=described(), sync_to_thread=False)
def latest(request: Asked, n: Count = 10) -> ItemList:
    """List the newest items."""
    return ItemList(request.engine.latest(n))


@get("/v1/items/{item_id:str}/similar", responses=described(missing=True), sync_to_thread=False)
def similar_items(request: Asked, item_id: Named, n: Count = 10) -> ItemList:
    """List the items most like an item."""
    return ItemList(request.engine.similar_items(named(item_id, "item_id"), n))


@get("/v1/items", responses=described())
async def list_items(request: Asked, after: After = "", limit: Limit = 100) -> ItemPage:
    """List items, page by page."""
    return ItemPage(*await asyncio.to_thread(request.engine.items, after, limit))


@put("/v1/items", responses=described(writes=True))
async def put_items(
    request: Asked, data: JSONBody[Annotated[list[Item], Meta(min_length=1, max_length=1000)]]
) -> Receipt:
    """Describe up to 1,000 items; what is not said of an item is gone."""
    return await asyncio.to_thread(request.engine.put_items, data)


@patch("/v1/items", responses=described(writes=True))
async def patch_items(
    request: Asked, data: JSONBody[Annotated[list[ItemPatch], Meta(min_length=1, max_length=1000)]]
) -> Receipt:
    """Change up to 1,000 items; what is not said stays."""
    return await asyncio.to_thread(request.engine.put_items, [msgspec.to_builtins(item) for item in data], merge=True)


@get("/v1/items/{item_id:str}", responses=described(missing=True), sync_to_thread=False)
def show_item(request: Asked, item_id: Named) -> Item:
    """Show what is known of an item."""
    return request.engine.item(named(item_id, "item_id"))


@put("/v1/items/{item_id:str}", responses=described(writes=True))
async def put_item(request: Asked, item_id: Named, data: JSONBody[ItemBody]) -> Receipt:
    """Describe an item; what is not said of it is gone."""
    return await asyncio.to_thread(request.engine.put_items, [_whole(item_id, data)])


@patch("/v1/items/{item_id:str}", responses=described(writes=True))
async def patch_item(request: Asked, item_id: Named, data: JSONBody[ItemBody]) -> Receipt:
    """Change an item; what is not said stays."""
    return await asyncio.to_thread(request.engine.put_items, [_whole(item_id, data)], merge=True)


@delete("/v1/items/{item_id:str}", status_code=204, responses=described(missing=True))
async def remove_item(request: Asked, item_id: Named) -> None:
    """Take an item out of all replies, and its attributes away; its events stay, and describing it brings it back."""
    name = named(item_id, "item_id")
    if not await asyncio.to_thread(request.engine.remove_items, [name]):
        raise UnknownItem(f"there is no item {name!r}", hint="ids are compared as text, exactly")


def _whole(item_id: str, data: ItemBody) -> dict[str, Any]:
    name = named(item_id, "item_id")
    if data.item_id not in {None, name}:
        raise BadRequest(f"$.item_id: expected {name!r}, as in the path, got {data.item_id!r}")
    fields: dict[str, Any] = msgspec.to_builtins(data)
    return fields | {"item_id": name}


HANDLERS: tuple[HTTPRouteHandler, ...] = (
    popular,
    trending,
    latest,
    similar_items,
    list_items,
    put_items,
    patch_items,
    show_item,
    put_item,
    patch_item,
    remove_item,
)
