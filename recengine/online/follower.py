"""Brings DuckDB after the fold, in batches, and has what came late put in its place. Beside the loop (`feedback.py`).

In: the ledger of what was folded. Out: the same in DuckDB, about a second later, and histories in the order of time.
"""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType

from recengine.errors import StoreFailed
from recengine.online.replay import mend
from recengine.online.state import State
from recengine.store.database import Database
from recengine.store.journal import Journal
from recengine.store.ledger import Ledger

__all__ = ("BEHIND", "Follower", "Gate")

log = logging.getLogger(__name__)

BEHIND = 16_384
"""Frames that may wait for DuckDB before it is woken ahead of time."""
SECONDS = 1.0
"""Between two batches for DuckDB."""
MENDED = 2.0
"""Seconds between two readings of the users whose events came late."""


class Gate:
    """Who folds goes through it, one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.held = False
        """Whether the fold is kept still: an ingest gives rows and numbers. Read and written within."""

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


class Follower:
    """Writes what was folded, from a thread of its own, until it is stopped.

    Parameters
    ----------
    journal : gives room back where the disk is full.
    gate : of the fold of `state`.
    """

    def __init__(self, database: Database, journal: Journal, state: State, ledger: Ledger, gate: Gate) -> None:
        self._database = database
        self._journal = journal
        self._state = state
        self._ledger = ledger
        self._gate = gate
        self._stopped = False
        self.chores: list[Callable[[], None]] = []
        """Done whenever DuckDB holds all that was folded, on this thread: they are short, for writes wait for them."""
        self._due = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recengine-ledger", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Write ahead of time."""
        self._due.set()

    def stop(self) -> None:
        """Let the thread end; what it has not written waits in the ledger."""
        self._stopped = True
        self._due.set()

    def join(self) -> None:
        """Wait until the thread ended."""
        self._thread.join()

    def mend(self) -> None:
        """Put the entries of users with late events in the order of time, from the store."""
        if self._state.late:
            with self._gate:
                if not self._gate.held:
                    self._ledger.flush()
                    mend(self._state, self._database)

    def _run(self) -> None:
        mended = time.monotonic()
        while not self._stopped:
            self._due.wait(SECONDS)
            self._due.clear()
            try:
                self._ledger.flush()
                if time.monotonic() - mended > MENDED:
                    mended = time.monotonic()
                    self.mend()
                for chore in self.chores:
                    chore()
            except Exception as err:  # without this thread DuckDB would never follow; the journal holds what it lacks
                if isinstance(err, StoreFailed):
                    self._journal.relieve()  # on a full disk it commits in the room that the journal kept back
                log.exception("the database does not follow the journal")
                time.sleep(1.0)
