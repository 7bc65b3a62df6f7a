"""Events: what users did, durable before the answer."""

import asyncio
from collections import deque
from typing import Annotated

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from msgspec import Meta

from recengine.errors import RecEngineError
from recengine.server.asked import Asked
from recengine.server.routes.answers import described
from recengine.types import Event, Receipt

__all__ = ("HANDLERS", "Settling")


class Settling:
    """Wakes handlers that wait for the feedback thread: one call into the event loop for all that a sync settles."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._results: deque[tuple[asyncio.Future[Receipt], Receipt | RecEngineError]] = deque()
        self._called = False

    def settle(self, future: asyncio.Future[Receipt], result: Receipt | RecEngineError) -> None:
        """Say what came of one submission; called on the feedback thread."""
        self._results.append((future, result))
        if not self._called:  # set before the loop takes what is there: what comes later makes a new call
            self._called = True
            self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._called = False
        results = self._results
        while results:
            future, result = results.popleft()
            if not future.done():
                if isinstance(result, RecEngineError):
                    future.set_exception(result)
                else:
                    future.set_result(result)


@post("/v1/events", status_code=201, responses=described(writes=True))
async def record(
    request: Asked, data: JSONBody[Event | Annotated[list[Event], Meta(min_length=1, max_length=1000)]]
) -> Receipt:
    """Store one event, or up to 1,000; they survive a power cut, and the users' next replies reflect them."""
    loop = asyncio.get_running_loop()
    settling = request.app.state.get("settling")
    if settling is None or settling.loop is not loop:
        settling = request.app.state["settling"] = Settling(loop)
    future: asyncio.Future[Receipt] = loop.create_future()
    events = [data] if isinstance(data, Event) else data
    request.engine.record_soon(events, lambda result: settling.settle(future, result))
    return await future


HANDLERS: tuple[HTTPRouteHandler, ...] = (record,)
