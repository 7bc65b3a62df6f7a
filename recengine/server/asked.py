"""What a handler is given: the engine, the body as its type, and only parameters that it knows.

Litestar decodes a body into plain objects first and converts them after; `Asked.json` decodes straight into the
handler's type, which is what lets msgspec hold the bounds (2**70 is refused where it stands) and takes half the time.
"""

from functools import cache
from typing import Any

import msgspec
from litestar import Request
from litestar.handlers import BaseRouteHandler
from litestar.params import PathParameter

from recengine.engine import Engine
from recengine.server.problems import Place, Refused
from recengine.server.scope import BODY, REPLY_KEY, SLASH
from recengine.store.vocab import MAX_ID_BYTES, valid_id

__all__ = ("Asked", "known_parameters", "named", "parameters")


class Asked(Request[Any, Any, Any]):
    """A request as handlers see it."""

    @property
    def engine(self) -> Engine:
        """The open engine."""
        engine: Engine = self.app.state.engine
        return engine

    @property
    def reply_key(self) -> bytes | None:
        """The key under which the reply may be kept; None = it is not kept."""
        key: Any = self.scope.get(REPLY_KEY)
        return key if isinstance(key, bytes) else None

    async def json(self) -> Any:
        """Decode the body into the type that the handler says it takes."""
        body: Any = self.scope.get(BODY)
        if not body:
            raise Refused(400, "body: expected JSON, got nothing", places=(Place("$", "expected JSON, got nothing"),))
        return _decoder(self.route_handler).decode(body)


@cache
def _decoder(handler: BaseRouteHandler) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(handler.parsed_fn_signature.parameters["data"].raw)


@cache
def parameters(handler: BaseRouteHandler) -> dict[str, bool]:
    """Name the query parameters of a handler; True = it may be given many times."""
    given = {}
    for name, field in handler.parsed_fn_signature.parameters.items():
        if name in {"request", "data"} or isinstance(field.kwarg_definition, PathParameter):
            continue
        given[name] = field.is_non_string_sequence or field.has_inner_subclass_of(tuple)
    return given


async def known_parameters(request: Request[Any, Any, Any]) -> None:
    """Refuse query parameters that the handler does not know, and single ones that come twice.

    Why: a misspelt `exclude_sen=false` that is passed over gives an answer to another question. Why not a guard of
    Litestar: it copies the handler for each request, 30 us; and one that is not async goes through a thread.
    """
    if not request.scope["query_string"]:
        return
    known = parameters(request.route_handler)
    seen = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            listed = ", ".join(known) or "none"
            raise _refused(f"query.{name:.64}", f"unknown parameter; this route knows: {listed}")
        if name in seen and not known[name]:
            raise _refused(f"query.{name}", "given twice")
        seen.add(name)


def named(text: str, where: str) -> str:
    """Read an id from the path.

    Raises
    ------
    Refused : it is no id.
    """
    name = text.replace(SLASH, "/")
    if not valid_id(name):
        raise _refused(f"path.{where}", f"expected 1 to {MAX_ID_BYTES} bytes of text without control characters")
    return name


def _refused(place: str, message: str) -> Refused:
    return Refused(400, f"{place}: {message}", places=(Place(place, message),))
