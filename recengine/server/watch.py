"""What a running server notices by itself, once a second and off the event loop: changed API keys.

Why by looking: a pointer or a file that another process replaced by a rename needs no message, works after a crash of
either side, and costs two `stat` calls a second.
"""

import asyncio
from contextlib import suppress

from recengine.engine import Engine
from recengine.errors import RecEngineError
from recengine.server import log
from recengine.server.keys import Keys

__all__ = ("Watch",)

SECONDS = 1.0


class Watch:
    """Looks until stopped."""

    def __init__(self, engine: Engine, keys: Keys) -> None:
        self._engine = engine
        self._keys = keys
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run(), name="recengine-watch")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Look once; what cannot be used is logged, and what was in force stays."""
        try:
            if self._keys.reload():
                log.line("info", "keys", number=len(self._keys))
        except RecEngineError as err:
            log.line("error", "keys", code=err.code, error=str(err))
