"""Recommendations: for a known user, a whole request, a batch, a visit, and the order of a given list."""

import asyncio
from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from msgspec import Meta

from recengine import types
from recengine.errors import UnknownReply
from recengine.server.asked import Asked, named
from recengine.server.routes.answers import described, encoded
from recengine.server.routes.bounds import (
    Caps,
    Count,
    Deadline,
    Diversity,
    Explained,
    Filter,
    ItemId,
    ItemIds,
    Labels,
    Named,
    Names,
    Visited,
)
from recengine.types.doors import Caps as MostOf
from recengine.types.doors import Id, Ids, Name, Told
from recengine.types.doors import Labels as Categories

__all__ = ("HANDLERS", "Batch", "Ranking", "Replies", "Visit")

_REPLY = described(200, types.Response, what="Items, best first.")
_ANSWER = described(200, types.Response, writes=True, what="Items, best first.")


_SHORT, _EXPLAINED = 200, 50
"""Items of a reply, and of one with explanations, up to which it takes less than some 20 ms."""


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The wishes of many users."""

    requests: Annotated[tuple[types.Request, ...], Meta(min_length=1, max_length=1000)]


class Replies(msgspec.Struct, frozen=True):
    """A reply for each request, in their order."""

    responses: list[types.Response]


class Visit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What an anonymous visitor did and wishes; the fields mean what they mean in a request."""

    events: Annotated[tuple[types.SessionEvent, ...], Meta(max_length=1000)] = ()
    """Oldest first; not kept."""
    session_id: Id | None = None
    n: int = 10
    filter: Annotated[str, Meta(max_length=10_000)] | None = None
    exclude_seen: bool | Annotated[tuple[Name, ...], Meta(max_length=64)] = True
    categories_any: Categories = ()
    categories_all: Categories = ()
    categories_none: Categories = ()
    allow: Ids | None = None
    deny: Ids = ()
    pins: Ids = ()
    caps: MostOf = {}
    context: Told = {}
    diversity: float | None = None
    deadline_ms: float | None = None
    explain: bool = False


class Ranking(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A list to put in order, and for whom; the other fields mean what they mean in a request."""

    items: Annotated[tuple[Id, ...], Meta(min_length=1, max_length=1000)]
    user_id: Id | None = None
    filter: Annotated[str, Meta(max_length=10_000)] | None = None
    exclude_seen: bool | Annotated[tuple[Name, ...], Meta(max_length=64)] = False
    deny: Ids = ()
    context: Told = {}
    session_id: Id | None = None
    events: Annotated[tuple[types.SessionEvent, ...], Meta(max_length=1000)] = ()
    explain: bool = False


@get("/v1/users/{user_id:str}/recommendations", responses=_REPLY)
async def recommend_to_user(
    request: Asked,
    user_id: Named,
    n: Count = 10,
    filter: Filter = None,  # noqa: A002  the parameter's name
    exclude_seen: Names = (),
    categories_any: Labels = (),
    categories_all: Labels = (),
    categories_none: Labels = (),
    allow: ItemIds = (),
    deny: ItemIds = (),
    pins: ItemIds = (),
    caps: Caps = (),
    diversity: Diversity = None,
    deadline_ms: Deadline = None,
    session_id: Visited = None,
    explain: Explained = False,
) -> Response[bytes]:
    """Recommend items to one user; an unknown one is answered as cold."""
    wish = types.Request(
        user_id=named(user_id, "user_id"),
        n=n,
        filter=filter,
        exclude_seen=_seen(exclude_seen),
        categories_any=categories_any,
        categories_all=categories_all,
        categories_none=categories_none,
        allow=allow or None,
        deny=deny,
        pins=pins,
        caps=_caps(caps),
        diversity=diversity,
        deadline_ms=deadline_ms,
        session_id=session_id,
        explain=explain,
    )
    return await _answered(request, wish, request.reply_key)


@post("/v1/recommendations", responses=_ANSWER, status_code=200)
async def recommend(request: Asked, data: JSONBody[types.Request]) -> Response[bytes]:
    """Answer a whole request."""
    return await _answered(request, data)


@post("/v1/recommendations/batch", responses=described(writes=True), status_code=200)
async def recommend_to_many(request: Asked, data: JSONBody[Batch]) -> Replies:
    """Answer up to 1,000 requests, on all cores; the same answers as one by one."""
    return Replies(await asyncio.to_thread(request.engine.recommend_batch, data.requests))


@post("/v1/sessions/recommendations", responses=_ANSWER, status_code=200)
async def recommend_to_visitor(request: Asked, data: JSONBody[Visit]) -> Response[bytes]:
    """Answer a visitor of whom nothing is known but what happened in this visit."""
    return await _answered(request, types.Request(**msgspec.structs.asdict(data)))


@post("/v1/rankings", responses=_ANSWER, status_code=200)
async def rank(request: Asked, data: JSONBody[Ranking]) -> Response[bytes]:
    """Put a given list in order for one user, best first."""
    wishes = msgspec.structs.asdict(data)
    reply = await asyncio.to_thread(request.engine.rank, wishes.pop("items"), wishes.pop("user_id"), **wishes)
    return encoded(msgspec.json.encode(reply))


@get("/v1/recommendations/{request_id:str}/explanation", responses=described(missing=True))
async def explain_reply(
    request: Asked, request_id: Named, item_id: ItemId = None
) -> types.Decision | types.Explanation:
    """Say why a reply was as it was: each item's score, reason, and what each model added; or that of one item.

    An item that was not shown is explained under the same wishes, as things are now.
    """
    name = named(request_id, "request_id")
    found = await asyncio.to_thread(request.engine.decision, name)
    if found is None:
        raise UnknownReply(f"no reply {name!r} is recorded", hint="`serving.decision_rate` says how many are")
    if item_id is None:
        return found
    if item_id not in found.items:
        wish = msgspec.json.decode(found.request, type=types.Request) if found.request else found.user_id
        return await asyncio.to_thread(request.engine.explain, wish, item_id)
    at = found.items.index(item_id)
    return types.Explanation(
        user_id=found.user_id,
        item_id=item_id,
        eligible=True,
        score=found.scores[at],
        contributions=found.contributions[at] if found.contributions else {},
        reasons=(types.Reason(found.reasons[at]),) if found.reasons else (),
        version=found.version,
    )


async def _answered(request: Asked, wish: types.Request, key: bytes | None = None) -> Response[bytes]:
    """Answer on the event loop; a long reply in a thread, so that nobody waits for it."""
    if wish.n > (_EXPLAINED if wish.explain else _SHORT):
        return encoded(await asyncio.to_thread(request.engine.reply, wish, key))
    return encoded(request.engine.reply(wish, key))


def _seen(given: tuple[str, ...]) -> bool | tuple[str, ...]:
    """Read `exclude_seen`: true, false, or the event types that hide an item."""
    if given in {(), ("true",)}:
        return True
    return False if given == ("false",) else given


def _caps(given: tuple[str, ...]) -> dict[str, int]:
    """Read `caps=brand:2`; the bound says that a colon and a number are there."""
    found = {}
    for cap in given:
        attribute, _, most = cap.rpartition(":")
        found[attribute] = int(most)
    return found


HANDLERS: tuple[HTTPRouteHandler, ...] = (
    recommend_to_user,
    recommend,
    recommend_to_many,
    recommend_to_visitor,
    rank,
    explain_reply,
)
