"""Who pulls while a server holds the directory: one thread a `[[source]]` with `every`.

In: the engine and its configuration. Out: fresher data, and lines of the log. Why threads of their own: a pull may wait
minutes for a foreign server, and the pool of the event loop has to answer requests meanwhile. A pull that fails is
tried again after a minute, or after `every` where that is shorter.
"""

import threading
from time import time_ns

from recengine.config import Source, microseconds
from recengine.engine import Engine
from recengine.errors import RecEngineError
from recengine.server import log

__all__ = ("Pulls",)

AGAIN = 60.0
"""Seconds after which a pull that failed is tried again."""
PATIENCE = 5.0
"""Seconds that the end waits for a pull that was told to stop."""


class Pulls:
    """Pulls until stopped.

    Parameters
    ----------
    engine : its `[[source]]`s with `every`; the first pull comes when the last good one is so old.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(source,), name=f"recengine-pull-{source.name}", daemon=True)
            for source in engine.config.source
            if source.every is not None
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End what waits for a foreign server, and pull no more."""
        self._stopped.set()
        self._engine.stop_pulling()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=PATIENCE)

    def _run(self, source: Source) -> None:
        every = microseconds(source.every or "1d") / 1e6
        at = next(state.at for state in self._engine.sources() if state.name == source.name)
        wait = 0.0 if at is None else max(0.0, every - (time_ns() // 1_000 - at) / 1e6)
        while not self._stopped.wait(wait):
            wait = every if self._pull(source.name) else min(every, AGAIN)

    def _pull(self, name: str) -> bool:
        try:
            report = self._engine.pull(name)
        except RecEngineError as err:
            if not self._stopped.is_set():
                log.line("error", "pull", source=name, code=err.code, error=str(err))
            return False
        except Exception as err:  # noqa: BLE001  the next one may do better, and nobody else pulls
            log.fault("pull", err)
            return False
        rows, stored = (sum(getattr(one, what) for one in report.sources) for what in ("rows", "stored"))
        log.line("info", "pull", source=name, rows=rows, stored=stored)
        return True
