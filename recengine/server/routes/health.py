"""Whether the service lives and can answer; its metrics; the description of the API as a page."""

from time import monotonic
from typing import Literal

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from recengine.errors import RecEngineError
from recengine.server.asked import Asked
from recengine.server.docs import POLICY, page
from recengine.server.metrics import CONTENT_TYPE
from recengine.server.problems import Place, Refused
from recengine.server.routes.answers import described

__all__ = ("HANDLERS", "Live", "Ready")

REFUSED_FOR = 5.0
"""Seconds for which one refusal of the disk says that the service is not ready. Then traffic may try it again: a state
that only a success ends would never end, where nobody sends traffic to who is not ready."""


class Live(msgspec.Struct, frozen=True):
    """The process runs and its event loop turns."""

    status: Literal["live"] = "live"


class Ready(msgspec.Struct, frozen=True):
    """Requests can be answered and events stored."""

    version: str
    """The deployment that answers."""
    status: Literal["ready"] = "ready"
    degraded: tuple[Place, ...] = ()
    """What is older than it should be: sources that are stale or could not be pulled. Their last good data answer."""


@get("/health/live", sync_to_thread=False)
def live() -> Live:
    """Say that the process runs."""
    return Live()


@get("/health/ready", responses=described(), sync_to_thread=False)
def ready(request: Asked) -> Ready:
    """Say whether requests can be answered and events stored; 503 with the reasons where not.

    A source that is stale or cannot be pulled is named under `degraded`: what was pulled before answers on.
    """
    reasons: list[Place] = []
    version = ""
    try:
        version = request.engine.spine().deployment.version
    except RecEngineError as err:
        reasons.append(Place("deployment", err.message))
    reasons += [Place(part, why) for part, why in request.engine.broken().items()]
    at, why = request.app.state.refused
    if monotonic() - at < REFUSED_FOR:
        reasons.append(Place("journal", why))
    if reasons:
        raise Refused(503, "not ready: " + "; ".join(r.message for r in reasons), places=tuple(reasons))
    late = tuple(Place(f"source {s.name}", s.trouble) for s in request.engine.sources() if s.trouble)
    return Ready(version, degraded=late)


@get("/metrics", responses=described(), media_type="text/plain", sync_to_thread=False)
def metrics(request: Asked) -> Response[bytes]:
    """List all counters for Prometheus."""
    return Response(request.app.state.exposition(), media_type=CONTENT_TYPE)


@get("/docs", include_in_schema=False, sync_to_thread=False)
def docs(request: Asked) -> Response[bytes]:
    """Show the description of the API as a page."""
    if not request.engine.config.server.docs:
        raise Refused(404, "the page is off", headers={})
    headers = {"content-security-policy": POLICY, "referrer-policy": "no-referrer"}
    body = page(request.app.openapi_schema.to_schema())
    return Response(body, media_type="text/html", headers=headers)


HANDLERS: tuple[HTTPRouteHandler, ...] = (live, ready, metrics, docs)
