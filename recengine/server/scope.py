"""The ASGI scope as the door leaves it for the routes: its types, and the names of what it puts there."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

__all__ = ("BODY", "REPLY_KEY", "REQUEST_ID", "SLASH", "Message", "Receive", "Scope", "Send", "reply_key")

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

BODY = "recengine_body"
"""The whole body, bytes."""
REQUEST_ID = "recengine_request_id"
"""The id of the exchange, as in the header `X-Request-ID` and in the log."""
REPLY_KEY = "recengine_reply_key"
"""The key under which the reply may be kept."""

SLASH = "\x1f"
"""Stands for an encoded slash inside a segment of the path, so that ids may have one."""


def reply_key(scope: Scope) -> bytes:
    """Name what is asked: method, raw path and query."""
    key: bytes = b"%b %b?%b" % (scope["method"].encode(), scope["raw_path"], scope["query_string"])
    return key
