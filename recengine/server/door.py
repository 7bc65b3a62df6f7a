"""The outermost ASGI callable: what happens to every request before and after Litestar.

In: an ASGI scope. Out: an answer, a count, sometimes a log line. In order: a request id, the API key (everything but
the two health routes needs one where keys are on), for `GET /v1/users/{id}/recommendations` the kept reply or the quick
way to its handler, the body read whole under its limits of size and time, then Litestar.

Why outside Litestar: a kept reply costs a look-up here, where Litestar's own floor is about 60 us, and 200 us for a
route with many parameters; and a body that is too long or too slow never reaches a handler.
"""

import itertools
import re
import secrets
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from recengine.config import Server
from recengine.server import log
from recengine.server.body import read, text_of
from recengine.server.keys import Keys
from recengine.server.metrics import Counts
from recengine.server.problems import Refused, answer_of
from recengine.server.quick import HEAD, TAIL
from recengine.server.scope import REPLY_KEY, REQUEST_ID, Message, Receive, Scope, Send, reply_key

__all__ = ("Door",)

_OPEN = frozenset((b"/health/live", b"/health/ready"))
_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_HOT = "/v1/users/{user_id}/recommendations"
_KEPT = ((b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff"))
_BODILESS = frozenset(("GET", "HEAD", "OPTIONS"))
_METHODS = _BODILESS | {"POST", "PUT", "PATCH", "DELETE"}


class Door:
    """Answers what it can and passes the rest on.

    Parameters
    ----------
    app : the Litestar application.
    cached : the kept reply of a key, or None.
    quick : answers what is asked most where Litestar has nothing to add, or None.
    config : limits, and what to log.
    keys : who may come in.
    counts : where answers are counted.
    opened, closed : called when the server starts, and after its last answer.
    """

    def __init__(
        self,
        app: Any,
        *,
        cached: Callable[[bytes], bytes | None],
        quick: Callable[[Scope], Awaitable[bytes | None]],
        config: Server,
        keys: Keys,
        counts: Counts,
        opened: Callable[[], Awaitable[None]],
        closed: Callable[[], Awaitable[None]],
    ) -> None:
        self._keys = keys
        self._app = app
        self._cached = cached
        self._quick = quick
        self._config = config
        self._counts = counts
        self._opened = opened
        self._closed = closed
        self._prefix = secrets.token_hex(8)
        self._numbers = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:  # there are no WebSockets here
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        token, name, length = _read_headers(scope["headers"])
        request_id = name or f"{self._prefix}{next(self._numbers):08x}"
        method = scope["method"]
        status = 0
        self._counts.running += 1

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                more = ((b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff"))
                message["headers"] = [*message["headers"], *more]
            elif method == "HEAD":
                message["body"] = b""
            await send(message)

        path: bytes = scope["raw_path"]
        hot = method == "GET" and _is_hot(path)
        route = _HOT if hot else ""
        try:
            if self._keys.needed and path not in _OPEN and not self._keys.allow(token):
                raise Refused(401, "no API key that is known here came with the request")  # noqa: TRY301
            if method == "HEAD" and path in _OPEN:  # as a GET without its body: what watches over services asks so
                scope["method"] = "GET"
            body = None
            if hot:
                key = scope[REPLY_KEY] = reply_key(scope)
                body = self._cached(key)
            if body is None:
                scope["path"] = text_of(path, scope["query_string"])
                scope[REQUEST_ID] = request_id
                if hot:
                    body = await self._quick(scope)
            if body is not None:
                status = 200
                headers = [*_KEPT, (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id.encode())]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": body})
                return
            if method not in _BODILESS:
                receive = await read(scope, receive, length, self._config)
            await self._app(scope, receive, answer)
        except Exception as err:  # every caller gets an answer: `problems` says what may be said of which error
            if status:  # the answer has begun: nothing can be added to it
                raise
            for message in answer_of(err, request_id):
                await answer(message)
        finally:
            seconds = perf_counter() - started
            route = route or scope.get("path_template") or "none"
            self._counts.running -= 1
            known = method if method in _METHODS else "other"  # a caller may invent methods
            self._counts.count(known, route, status or 500, seconds)
            if self._config.access_log or status >= 500 or seconds * 1000 > self._config.slow_ms:
                self._log(scope, route, status or 500, seconds, request_id)

    def _log(self, scope: Scope, route: str, status: int, seconds: float, request_id: str) -> None:
        slow = seconds * 1000 > self._config.slow_ms
        log.line(
            "error" if status == 500 else "warning" if status > 500 or slow else "info",
            "request",
            request_id=request_id,
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            route=route,
            status=status,
            ms=round(seconds * 1000, 3),
            client=(scope.get("client") or ("",))[0],
        )

    async def _live(self, receive: Receive, send: Send) -> None:
        """Follow the server's life: open before the first request, close after the last answer."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._opened()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._closed()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _is_hot(path: bytes) -> bool:
    """Say whether a raw path is that of `_HOT`."""
    user = path[len(HEAD) : -len(TAIL)]
    return bool(user) and b"/" not in user and path.startswith(HEAD) and path.endswith(TAIL)


def _read_headers(headers: list[tuple[bytes, bytes]]) -> tuple[bytes, str, int]:
    """Pick out (API key, request id, length of the body); empty and -1 where they are missing or unfit."""
    token = name = b""
    length = -1
    for header, value in headers:
        if header == b"authorization":
            if value[:7].lower() == b"bearer ":
                token = value[7:]
        elif header == b"x-api-key":
            token = token or value
        elif header == b"x-request-id":
            name = value if _ID.fullmatch(value) else b""
        elif header == b"content-length" and value.isdigit():
            length = int(value) if len(value) < 20 else sys.maxsize
    return token, name.decode(), length
