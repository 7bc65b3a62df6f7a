"""The Litestar application over an open engine, behind its door.

In: an `Engine`. Out: one ASGI callable, whatever serves it: Granian (`run`), or a test's transport.
"""

import asyncio
import math
from importlib.metadata import version
from time import monotonic
from typing import Any

from litestar import Litestar, Request, Response
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, Reference, SecurityScheme

from recengine.engine import Engine
from recengine.errors import EngineFault, StoreFailed
from recengine.server.asked import Asked, known_parameters
from recengine.server.door import Door
from recengine.server.keys import Keys
from recengine.server.metrics import Counts, exposition, families
from recengine.server.problems import MEDIA_TYPE, Refused, problem_of
from recengine.server.pulls import Pulls
from recengine.server.quick import Quick
from recengine.server.routes import HANDLERS
from recengine.server.routes.recommendations import recommend_to_user
from recengine.server.scope import REQUEST_ID
from recengine.server.trainings import Trainings
from recengine.server.watch import Watch

__all__ = ("build",)

_KEYS: dict[str, SecurityScheme | Reference] = {
    "bearer": SecurityScheme(type="http", scheme="bearer", description="an API key"),
    "header": SecurityScheme(type="apiKey", name="X-API-Key", security_scheme_in="header", description="an API key"),
}


def build(engine: Engine, *, close: bool = False) -> Door:
    """Make the ASGI callable that serves `engine`, configured by its `[server]`.

    Parameters
    ----------
    close : close the engine when the server stops.

    Raises
    ------
    ConfigInvalid : the file of API keys is damaged.
    """
    config = engine.config.server
    counts = Counts()
    app = Litestar(
        route_handlers=HANDLERS,
        request_class=Asked,
        before_request=known_parameters,
        exception_handlers={Exception: _answer},
        request_max_body_size=None,  # the door holds the limits
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="recengine",
            version=version("recengine"),
            description="Recommendations, and the events that they learn from.",
            path="/openapi.json",  # its router answers all below its path, and nothing lives below this one
            render_plugins=[JsonRenderPlugin(path="/")],
            use_handler_docstrings=True,
            operation_id_creator=lambda handler, *_: handler.handler_name,
            components=Components(security_schemes=_KEYS),
            security=[{name: []} for name in _KEYS],
        ),
    )
    app.state.engine = engine
    app.state.refused = (-math.inf, "")
    app.state.exposition = exposition(counts, lambda: families(engine))
    keys = Keys(engine.path, config.keys, config.host)
    watch = Watch(engine, keys)
    pulls, trainings = Pulls(engine), Trainings(engine)

    async def opened() -> None:
        await watch.start()
        pulls.start()
        trainings.start()

    async def closed() -> None:
        await watch.stop()
        await asyncio.to_thread(pulls.stop)
        await asyncio.to_thread(trainings.stop)
        if close:
            await asyncio.to_thread(engine.close)

    return Door(
        app,
        cached=engine.cached,
        quick=Quick(app, recommend_to_user),
        config=config,
        keys=keys,
        counts=counts,
        opened=opened,
        closed=closed,
    )


def _answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    if isinstance(error, StoreFailed):
        request.app.state.refused = (monotonic(), error.message)  # health tells
    elif isinstance(error, EngineFault) and request.app.state.engine.closed:
        error = Refused(503, "the service is stopping")
    problem, headers = problem_of(error, str(request.scope.get(REQUEST_ID, "")))
    return Response(problem, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)
