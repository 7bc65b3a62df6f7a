"""`[server]`: the HTTP service's knobs."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ("Server",)

Bytes = Annotated[int, Meta(ge=1024, le=67_108_864)]
Seconds = Annotated[float, Meta(ge=0.1, le=3600)]


class Server(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP service."""

    host: Annotated[str, Meta(min_length=1, max_length=255, description="address to listen on; 0.0.0.0 = all of IPv4")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65_535)] = 8000
    keys: Annotated[Literal["auto", "on", "off"], Meta(description="callers need an API key; auto = where the host is not loopback, and where keys exist")] = "auto"
    body_limit: Annotated[Bytes, Meta(description="bytes of a request's body")] = 65_536
    bulk_body_limit: Annotated[Bytes, Meta(description="bytes of a body that may hold many users, items or events")] = 1_048_576
    body_timeout: Annotated[Seconds, Meta(description="seconds that a caller may take to send a body")] = 10.0
    header_timeout: Annotated[float, Meta(ge=1, le=60, description="seconds that a caller may take to send a request's head; an idle connection is closed after so many")] = 30.0
    backlog: Annotated[int, Meta(ge=128, le=65_535, description="connections that may wait to be accepted")] = 1024
    shutdown_timeout: Annotated[Seconds, Meta(description="seconds that running requests may take to finish at a stop")] = 30.0
    access_log: Annotated[bool, Meta(description="a line on stderr for every request; false = for slow and failed ones")] = False
    slow_ms: Annotated[float, Meta(ge=0, le=3_600_000, description="a request that takes longer is logged")] = 1000.0
    docs: Annotated[bool, Meta(description="serve the page /docs")] = True
