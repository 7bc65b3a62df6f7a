"""Users: users like a user."""

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler

from recengine.server.asked import Asked, named
from recengine.server.routes.bounds import Count

__all__ = ("HANDLERS", "Neighbour", "Neighbours")


class Neighbour(msgspec.Struct, frozen=True):
    """A user that is like another."""

    user_id: str
    score: float
    """Similarity; higher = more alike."""


class Neighbours(msgspec.Struct, frozen=True):
    """Users like a user, the most alike first."""

    users: tuple[Neighbour, ...]


@get("/v1/users/{user_id:str}/similar", sync_to_thread=False)
def similar_users(request: Asked, user_id: str, n: Count = 10) -> Neighbours:
    """List the users most like a user."""
    found = request.engine.similar_users(named(user_id, "user_id"), n)
    return Neighbours(tuple(Neighbour(name, score) for name, score in found))


HANDLERS: tuple[HTTPRouteHandler, ...] = (similar_users,)
