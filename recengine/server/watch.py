"""What a running server notices by itself, once a second and off the event loop: another deployment, changed API keys.

Why by looking: a pointer or a file that another process replaced by a rename needs no message, works after a crash of
either side, and costs two `stat` calls a second.
"""

import asyncio
from contextlib import suppress
from time import monotonic

from recengine.engine import Engine
from recengine.errors import RecEngineError
from recengine.server import log
from recengine.server.keys import Keys
from recengine.store.directory import ARTIFACTS

__all__ = ("AGAIN", "SECONDS", "Watch")

SECONDS = 1.0
AGAIN = 30.0
"""Seconds after which a deployment that could not be loaded is tried again: what was in the way may be gone."""


class Watch:
    """Looks until stopped.

    Parameters
    ----------
    engine : follows `artifacts/current`; a deployment that cannot be loaded leaves the one before in force.
    keys : are read again where their file changed.
    """

    def __init__(self, engine: Engine, keys: Keys) -> None:
        self._engine = engine
        self._keys = keys
        self._pointer = engine.path / ARTIFACTS / "current"
        self._seen: tuple[int, int, int] | None = None
        self._failed: tuple[int, int, int] | None = None
        self._again = 0.0
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
        for what, check in (("deployment", self._deployment), ("keys", self._look_at_keys)):
            try:
                check()
            except RecEngineError as err:
                log.line("error", what, code=err.code, error=str(err))
            except Exception as err:  # noqa: BLE001  the next look may do better, and nobody else looks
                log.fault(what, err)

    def _deployment(self) -> None:
        try:
            found = self._pointer.stat()
        except FileNotFoundError:
            return
        seen = (found.st_mtime_ns, found.st_ino, found.st_size)
        if seen == self._seen or (seen == self._failed and monotonic() < self._again):
            return
        self._failed, self._again = seen, monotonic() + AGAIN
        version = self._engine.follow()
        self._seen = seen
        if version is not None:
            log.line("info", "deployment", version=version)

    def _look_at_keys(self) -> None:
        if self._keys.reload():
            log.line("info", "keys", number=len(self._keys))
