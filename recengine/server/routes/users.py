"""Users: users like a user, what is known of them, and forgetting them."""

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import delete, get, patch, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from msgspec import Meta

from recengine.errors import BadRequest, UnknownUser
from recengine.server.asked import Asked, named
from recengine.server.routes.answers import described
from recengine.server.routes.bounds import After, Count, Limit, Named
from recengine.types import Receipt, User
from recengine.types.doors import Attributes, Id

__all__ = ("HANDLERS", "Neighbour", "Neighbours", "UserBody", "UserPage")


class Neighbour(msgspec.Struct, frozen=True):
    """A user that is like another."""

    user_id: str
    similarity: float
    """Higher = more alike."""


class Neighbours(msgspec.Struct, frozen=True):
    """Users like a user, the most alike first."""

    users: tuple[Neighbour, ...]


class UserPage(msgspec.Struct, frozen=True):
    """A page of users."""

    users: list[User]
    next: str | None
    """`after` of the next page; null = this is the last."""


class UserBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a user is, where the path names it. PUT: what is not said is gone; PATCH: it stays."""

    user_id: Id | None = None
    """May repeat what the path says."""
    attributes: Attributes = {}
    """PATCH: null takes an attribute away."""
    valid_from: Any = None
    """A moment; null = since ever for a first version, now for a later one."""


Users = Annotated[list[User], Meta(min_length=1, max_length=1000)]


@get("/v1/users/{user_id:str}/similar", responses=described(missing=True), sync_to_thread=False)
def similar_users(request: Asked, user_id: Named, n: Count = 10) -> Neighbours:
    """List the users most like a user."""
    found = request.engine.similar_users(named(user_id, "user_id"), n)
    return Neighbours(tuple(Neighbour(name, similarity) for name, similarity in found))


@get("/v1/users", responses=described())
async def list_users(request: Asked, after: After = "", limit: Limit = 100) -> UserPage:
    """List users, page by page."""
    return UserPage(*await asyncio.to_thread(request.engine.list_users, after, limit))


@put("/v1/users", responses=described(writes=True))
async def put_users(request: Asked, data: JSONBody[Users]) -> Receipt:
    """Describe up to 1,000 users; what is not said of a user is gone."""
    return await asyncio.to_thread(request.engine.put_users, data)


@patch("/v1/users", responses=described(writes=True))
async def patch_users(request: Asked, data: JSONBody[Users]) -> Receipt:
    """Change up to 1,000 users; what is not said stays, and null takes an attribute away."""
    return await asyncio.to_thread(request.engine.put_users, data, merge=True)


@get("/v1/users/{user_id:str}", responses=described(missing=True), sync_to_thread=False)
def show_user(request: Asked, user_id: Named) -> User:
    """Show what is known of a user."""
    return request.engine.user(named(user_id, "user_id"))


@put("/v1/users/{user_id:str}", responses=described(writes=True))
async def put_user(request: Asked, user_id: Named, data: JSONBody[UserBody]) -> Receipt:
    """Describe a user; what is not said is gone."""
    return await asyncio.to_thread(request.engine.put_users, [_whole(user_id, data)])


@patch("/v1/users/{user_id:str}", responses=described(writes=True))
async def patch_user(request: Asked, user_id: Named, data: JSONBody[UserBody]) -> Receipt:
    """Change a user; what is not said stays."""
    return await asyncio.to_thread(request.engine.put_users, [_whole(user_id, data)], merge=True)


@delete("/v1/users/{user_id:str}", status_code=204, responses=described(missing=True))
async def forget_user(request: Asked, user_id: Named) -> None:
    """Forget a user: events, attributes, and what replies know; models lose it with the next training."""
    name = named(user_id, "user_id")
    if not await asyncio.to_thread(request.engine.forget, name):
        raise UnknownUser(f"there is no user {name!r}", hint="ids are compared as text, exactly")


def _whole(user_id: str, data: UserBody) -> dict[str, Any]:
    name = named(user_id, "user_id")
    if data.user_id not in {None, name}:
        raise BadRequest(f"$.user_id: expected {name!r}, as in the path, got {data.user_id!r}")
    fields: dict[str, Any] = msgspec.to_builtins(data)
    return fields | {"user_id": name}


HANDLERS: tuple[HTTPRouteHandler, ...] = (
    similar_users,
    list_users,
    put_users,
    patch_users,
    show_user,
    put_user,
    patch_user,
    forget_user,
)
