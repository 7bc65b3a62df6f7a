"""What a request brings, made safe before a handler sees it: the path as text, the body whole and within its limits.

In: raw bytes of the path and query, and the chunks of the body. Out: text with valid UTF-8, and one message that holds
all of the body. A caller that promises less than it sends, or sends slowly, is refused here; one that goes away before
its body is there leaves nothing behind.
"""

import asyncio
import re
from urllib.parse import unquote_to_bytes

from recengine.config import Server
from recengine.server.problems import Place, Refused
from recengine.server.scope import BODY, SLASH, Message, Receive, Scope

__all__ = ("read", "text_of")

_BULK = frozenset(("/v1/events", "/v1/items", "/v1/users", "/v1/recommendations/batch", "/v1/rankings"))
"""Routes whose body holds many things."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def text_of(path: bytes, query: bytes) -> str:
    """Decode a raw path; an encoded slash inside a segment becomes `SLASH`.

    Raises
    ------
    Refused : path or query is no UTF-8, or the path has control characters.
    """
    _text(query, "query")
    if b"%" not in path and path.isascii() and (text := path.decode()).isprintable():
        return text
    segments = [_text(segment, "path") for segment in path.split(b"/")]
    for segment in segments:
        if _CONTROL.search(segment):
            raise _refused("path", f"control characters are not allowed, got {segment!a:.300}")
    return "/".join(segment.replace("/", SLASH) for segment in segments)


def _text(raw: bytes, where: str) -> str:
    try:
        return (unquote_to_bytes(raw) if b"%" in raw else raw).decode()
    except UnicodeDecodeError as err:
        raise _refused(where, f"expected UTF-8, got an invalid byte at {err.start}") from err


def _refused(where: str, message: str) -> Refused:
    return Refused(400, f"{where}: {message}", places=(Place(where, message),))


async def read(scope: Scope, receive: Receive, length: int, config: Server) -> Receive:
    """Read the body into the scope, within its limits; returns what gives it to whoever asks again.

    Raises
    ------
    Refused : 400 it broke off, 413 it is too long, 408 too slow, 415 no JSON. Also where the caller went away: Granian
        says the same of both, and answers by itself, with 500, where nobody else does.
    """
    bulk = scope["path"].rstrip("/") in _BULK
    limit = config.bulk_body_limit if bulk else config.body_limit
    if length > limit:
        raise _long(limit)
    chunks: list[bytes] = []
    try:
        async with asyncio.timeout(config.body_timeout):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _refused("body", "it broke off, or its chunks are none")
                chunk = message.get("body", b"")
                limit -= len(chunk)
                if limit < 0:
                    raise _long(config.bulk_body_limit if bulk else config.body_limit)
                chunks.append(chunk)
                if not message.get("more_body", False):
                    break
    except TimeoutError as err:
        raise Refused(408, f"body: not there after {config.body_timeout:g} s") from err
    body = scope[BODY] = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    if body and not _is_json(scope):
        raise Refused(415, "Content-Type: expected application/json")
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _long(limit: int) -> Refused:
    return Refused(413, f"body: at most {limit} bytes")


def _is_json(scope: Scope) -> bool:
    kind: bytes = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    kind = kind.partition(b";")[0].strip().lower()
    return kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json"))
