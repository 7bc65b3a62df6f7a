"""The quick way to the handler of `GET /v1/users/{id}/recommendations`, which a page asks more than all else.

In: a scope whose path is of that form. Out: the body, or None where Litestar has to say what is wrong. The handler, its
parameters and their bounds are the very ones that Litestar calls; what is left out is finding the route, the chain of
middleware, and objects for a response that is ready bytes: 200 us a request, as much as all models together.
"""

from typing import Any

import msgspec
from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler

from recengine.server.asked import Asked, parameters
from recengine.server.scope import Scope

__all__ = ("HEAD", "TAIL", "Quick")

HEAD, TAIL = b"/v1/users/", b"/recommendations"
"""Around the id in a raw path."""


class Quick:
    """Calls one handler as Litestar would.

    Parameters
    ----------
    app : it knows the handler.
    handler : takes `request`, `user_id` and query parameters, and returns bytes that are ready.
    """

    def __init__(self, app: Litestar, handler: HTTPRouteHandler) -> None:
        self._app = app
        self._call: Any = handler.fn
        self._model: type[Any] = handler.signature_model
        self._many = parameters(handler)

    async def __call__(self, scope: Scope) -> bytes | None:
        """Answer a scope whose `path` is text.

        Raises
        ------
        RecEngineError : what the handler raises.
        """
        user = scope["path"][len(HEAD) : -len(TAIL)]
        if not user or "/" in user:
            return None
        scope["litestar_app"] = self._app
        request = Asked(scope)  # type: ignore[arg-type]
        given: dict[str, Any] = {"request": request, "user_id": user}
        if scope["query_string"]:
            if not self._read(request, given):
                return None
            try:
                given = msgspec.structs.asdict(msgspec.convert(given, self._model, strict=False, str_keys=True))
            except msgspec.ValidationError:
                return None
        answer: Response[bytes] = await self._call(**given)
        return answer.content

    def _read(self, request: Asked, given: dict[str, Any]) -> bool:
        """Add the query's parameters; False where one is not known, or comes too often."""
        for name, value in request.query_params.multi_items():
            many = self._many.get(name)
            if many:
                given.setdefault(name, []).append(value)
            elif many is None or name in given:
                return False
            else:
                given[name] = value
        return True
