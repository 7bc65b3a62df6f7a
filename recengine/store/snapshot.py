"""Snapshots: verified copies of the database beside it, from which a damaged one is healed, and who makes them.

Floor 2. In: an open database and its journal. Out: `snapshot/<number>/`, the highest number is the newest; a folder
appears whole or not at all. Frames leave the journal only when a snapshot holds them and the database has them in its
own file, not just in its log.
"""

import logging
import shutil
import threading
from pathlib import Path

from recengine.config import Storage
from recengine.durable import flush
from recengine.errors import EngineFault, RecEngineError, StoreCorrupt, StoreFailed
from recengine.store import directory
from recengine.store.backup import BackupReport, copy_store, read_report
from recengine.store.cursor import Cursor
from recengine.store.database import Database
from recengine.store.homes import Forgotten, home
from recengine.store.journal import Journal
from recengine.store.sequence import ingests
from recengine.types.frames import EraseFrame, encode_frame

__all__ = ("Keeper", "newest", "snapshot")

log = logging.getLogger("recengine.store")

_making = threading.Lock()
"""One at a time: each has the number after the last one's."""
_PATIENCE = 60.0
"""Seconds between two looks at how much the journal holds."""
_FIRST = 5.0
"""Seconds before the first look: a command that opens, answers and goes shall not begin a copy."""
_ERASED = encode_frame(EraseFrame("", 0))[:7]
"""What the frame of a forgotten user begins with: a list, and its tag."""


def snapshot(database: Database, folder: Path) -> BackupReport:
    """Make a verified snapshot of an open database in the data directory `folder`, and drop the older ones.

    Any thread may call it, also while others read and write. The report says up to which frame it holds the journal.

    Raises
    ------
    StoreFailed : the disk is full, or the copy differs; the older one stays.
    StoreCorrupt : the database cannot be read to its end; the older one stays.
    """
    with _making:
        home = folder / directory.SNAPSHOT
        _make(home)
        older = _numbered(home)
        report = copy_store(database, home / f"{_number(older[-1]) + 1 if older else 0:08d}")
        for path in older:
            shutil.rmtree(path, ignore_errors=True)
    return report


def _make(home: Path) -> None:
    try:
        home.mkdir(exist_ok=True)
        flush(home.parent)  # the journal forgets what a snapshot holds: so that must be found after a power cut
    except OSError as err:
        raise StoreFailed(f"{home}: cannot be made: {err.strerror}", hint="free disk space") from err


def newest(folder: Path) -> tuple[Path, BackupReport] | None:
    """Find the newest snapshot in the data directory `folder` that is whole; None = there is none. Cost: it is read."""
    for path in reversed(_numbered(folder / directory.SNAPSHOT)):
        try:
            return path, read_report(path)
        except RecEngineError as err:
            log.warning("snapshot %s is passed over: %s", path.name, err)
    return None


def _numbered(home: Path) -> list[Path]:
    return sorted((p for p in home.glob("[0-9]*") if p.name.isdecimal() and p.is_dir()), key=_number)


def _number(path: Path) -> int:
    return int(path.name)


@home
class Keeper:
    """Makes a snapshot, on a thread of its own, when the journal has grown or an ingest went past it.

    Parameters
    ----------
    database, journal : open; close the keeper before them.
    """

    def __init__(self, database: Database, journal: Journal, storage: Storage) -> None:
        self._database = database
        self._journal = journal
        self._limit = storage.snapshot_bytes
        self._folder = database.path.parent
        self._wake = threading.Condition()
        self._due = self._closed = False
        self._until = -1
        """A snapshot from before this frame will not do: it holds a user that is forgotten."""
        self._cursor: Cursor | None = None
        self._thread = threading.Thread(target=self._run, name="recengine-keeper", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether snapshots are still made: an unexpected error ends the keeper, and the journal only grows then."""
        return self._thread.is_alive()

    def ask(self, until: int = -1) -> None:
        """Ask for a snapshot soon, as after an ingest. Returns at once.

        Parameters
        ----------
        until : a frame that must be in it; tried every minute until one has it, for the disk may be full.
        """
        with self._wake:
            self._due = True
            self._until = max(self._until, until)
            self._wake.notify()

    def keep(self) -> BackupReport:
        """Make a snapshot now, and drop what the journal need not hold any more.

        Raises
        ------
        StoreFailed, StoreCorrupt : as of `snapshot`; the journal keeps everything.
        """
        report = snapshot(self._database, self._folder)
        self._database.checkpoint()
        self._journal.trim(report.last_seq)
        return report

    def forget(self, who: Forgotten) -> None:  # noqa: ARG002 - the copy is of the store, which holds nothing of them
        """Make a snapshot without a user that the store has forgotten, and drop the frames that were before it.

        Raises
        ------
        StoreFailed, StoreCorrupt : as of `keep`.
        """
        self.keep()

    def close(self) -> None:
        """Stop, giving up a snapshot that is being made. Idempotent."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        while self._thread.is_alive():
            cursor = self._cursor
            if cursor is not None:
                cursor.cancelled = True
                cursor.raw.interrupt()
            self._thread.join(timeout=0.05)

    def _run(self) -> None:
        held, looked, seconds = None, False, _FIRST
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._due, timeout=seconds)
                if self._closed:
                    return
                due, self._due = self._due, False
            seconds = _PATIENCE
            try:
                self._cursor = self._database.read()
                if not looked and not due:
                    found, looked = newest(self._folder), True
                    held = found[1] if found else None
                    if held is not None:
                        self._until = max(self._until, _last_erased(self._journal, held.last_seq))
                if due or self._behind(held, self._cursor):
                    held = self.keep()
            except EngineFault:
                if not self._closed:
                    raise
            except RecEngineError as err:
                log.warning("no snapshot could be made: %s", err)
                if isinstance(err, StoreCorrupt):
                    (self._folder / directory.SUSPECT).touch()
            finally:
                self._cursor = None

    def _behind(self, held: BackupReport | None, cursor: Cursor) -> bool:
        return (
            held is None
            or held.last_seq < self._until
            or held.ingests < ingests(cursor)
            or self._journal.held(held.last_seq) > self._limit
        )


def _last_erased(journal: Journal, after: int) -> int:
    """Find the last frame that forgets a user and is not in the snapshot: the process ended before one was made."""
    return max(
        (
            first + at
            for first, payloads in journal.read(max(after, journal.oldest))
            for at, payload in enumerate(payloads)
            if payload.startswith(_ERASED)
        ),
        default=-1,
    )
