"""The routes, one file a noun. Everything under `/v1`; health, metrics and the description of the API beside it.

Short handlers run on the event loop: a request takes less than a millisecond, and a thread would cost more. Those that
answer many at once, or wait for the disk, run in threads.
"""

from typing import Any

from recengine.server.routes import health, items, recommendations, users

__all__ = ("HANDLERS",)

HANDLERS: tuple[Any, ...] = (
    *health.HANDLERS,
    *recommendations.HANDLERS,
    *items.HANDLERS,
    *users.HANDLERS,
)
