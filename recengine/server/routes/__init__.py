"""The routes, one file a noun. Everything under `/v1`; health, metrics and the description of the API beside it.

Short handlers run on the event loop: a request takes less than a millisecond, and a thread would cost more. Those that
answer many at once, or wait for the disk, run in threads.
"""

from litestar.handlers import HTTPRouteHandler

from recengine.server.routes import events, health, items, recommendations, users

__all__ = ("HANDLERS",)

HANDLERS: tuple[HTTPRouteHandler, ...] = (
    *health.HANDLERS,
    *recommendations.HANDLERS,
    *events.HANDLERS,
    *items.HANDLERS,
    *users.HANDLERS,
)
