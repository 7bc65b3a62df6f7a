"""The one thread that writes.

Why not `ThreadPoolExecutor`: it refuses work once the interpreter begins to end, which is when a script that stopped in
an error still has records to write. This one works until it is told to stop.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from recengine.errors import EngineFault

__all__ = ("Writer",)

T = TypeVar("T")


class Writer:
    """Runs calls one after the other on a thread of its own."""

    def __init__(self, name: str) -> None:
        self._lock = threading.Lock()  # a call queued behind the end would never run, and be awaited for ever
        self._stopped = False
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, future: Future[T], fn: Callable[..., T], *args: Any) -> None:
        """Queue `fn(*args)`; `future`, which the caller made, gets its result or error.

        Raises
        ------
        EngineFault : the writer was stopped.
        """

        def call() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args)
            except BaseException as err:  # noqa: BLE001 - it is raised again where the future is awaited
                future.set_exception(err)
            else:
                future.set_result(result)

        with self._lock:
            if self._stopped:
                raise EngineFault("the database is closed", hint="open it again")
            self._calls.put(call)

    def runs_here(self) -> bool:
        """Tell whether the calling thread is the writer."""
        return threading.current_thread() is self._thread

    def stop(self) -> None:
        """Finish what is queued and end the thread. Idempotent."""
        with self._lock:
            if not self._stopped:
                self._stopped = True
                self._calls.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
