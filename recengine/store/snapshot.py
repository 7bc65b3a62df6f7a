"""Snapshots: verified copies of the database beside it, from which a damaged one is healed, and who makes them.

Floor 2. In: an open database and its journal. Out: `snapshot/<number>/`, the highest number is the newest; a folder
appears whole or not at all. Frames leave the journal only when a snapshot holds them and the database has them in its
own file, not just in its log.
"""

import logging
import shutil
import threading
from contextlib import suppress
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
from recengine.store.sequence import erase_owed, ingests, settle_erase

__all__ = ("Keeper", "newest", "snapshot")

log = logging.getLogger("recengine.store")

_making = threading.Lock()
"""One at a time: each has the number after the last one's."""
_PATIENCE = 60.0
"""Seconds between two looks at how much the journal holds."""
_FIRST = 5.0
"""Seconds before the first look: a command that opens, answers and goes shall not begin a copy."""
_PAUSE = 1.0
"""Seconds until one that failed is tried again; twice as many after each further failure, up to `_PATIENCE`."""


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


def _ours(err: Exception) -> RecEngineError:
    if isinstance(err, RecEngineError):
        return err
    if isinstance(err, OSError):
        return StoreFailed(f"a snapshot cannot be written: {err.strerror}", hint="free disk space, check permissions")
    return EngineFault(f"a snapshot failed: {type(err).__name__}: {err}", hint="please report this")


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
        self._due = self._closed = self._looked = False
        self._asked = self._answered = 0
        """Who waits for a snapshot has a number; all up to `_answered` know what came of theirs."""
        self._held: BackupReport | None = None
        self._failed: RecEngineError | None = None
        self._cursor: Cursor | None = None
        self._thread = threading.Thread(target=self._run, name="recengine-keeper", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether snapshots are still made; an error does not end the keeper, `told` says what it met."""
        return self._thread.is_alive()

    @property
    def told(self) -> str:
        """Say up to which frame the snapshot reaches, or why the last one could not be made."""
        failed, held = self._failed, self._held
        if failed is not None:
            return f"failed: {failed.message}"
        if not self._thread.is_alive():
            return "stopped"
        return "none yet" if held is None else f"up to frame {held.last_seq}"

    def ask(self) -> None:
        """Ask for a snapshot soon, as after an ingest. Returns at once."""
        with self._wake:
            self._due = True
            self._wake.notify_all()

    def keep(self) -> BackupReport:
        """Make a snapshot now, and drop what the journal need not hold any more.

        Raises
        ------
        StoreFailed, StoreCorrupt : as of `snapshot`; the journal keeps everything.
        """
        report = snapshot(self._database, self._folder)
        self._database.checkpoint()
        self._journal.trim(report.last_seq)
        if erase_owed(self._database.read()) is not None:
            self._database.write(lambda cursor: settle_erase(cursor, report.last_seq))
        return report

    def forget(self, who: Forgotten) -> None:  # noqa: ARG002 - the copy is of the store, which holds nothing of them
        """Return when there is a snapshot without a user that the store has forgotten, and no frame from before it.

        It is one that begins after the call; all who wait meanwhile share the next one.

        Raises
        ------
        StoreFailed, StoreCorrupt : as of `keep`. It is made later all the same: the store says that it is owed.
        EngineFault : the engine was closed meanwhile; the next opening makes it.
        """
        with self._wake:
            self._asked += 1
            mine = self._asked
            self._due = True
            self._wake.notify_all()
            self._wake.wait_for(lambda: self._answered >= mine or self._closed)
            failed = self._failed
            if self._answered < mine:
                raise EngineFault("the engine is closed", hint="open it again: the erase is finished then")
        if failed is not None:
            raise type(failed)(failed.message, hint=failed.hint)

    def close(self) -> None:
        """Stop, giving up a snapshot that is being made. Idempotent."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        while self._thread.is_alive():
            cursor = self._cursor
            if cursor is not None:
                cursor.cancelled = True
                cursor.raw.interrupt()
            self._thread.join(timeout=0.05)

    def _run(self) -> None:
        seconds, pause, again = _FIRST, _PAUSE, False
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._due, timeout=seconds)
                if self._closed:
                    return
                due, self._due = self._due or again, False
                mine = self._asked
            failed = self._round(due=due)
            again = due and failed is not None
            seconds, pause = (_PATIENCE, _PAUSE) if failed is None else (pause, min(2 * pause, _PATIENCE))
            with self._wake:
                self._failed, self._answered = failed, mine
                self._wake.notify_all()

    def _round(self, *, due: bool) -> RecEngineError | None:
        """Make a snapshot if one is due; returns what went wrong: without this thread the journal grows for ever."""
        try:
            self._cursor = cursor = self._database.read()
            if not self._looked and not due:
                found, self._looked = newest(self._folder), True
                self._held = found[1] if found else None
            if due or erase_owed(cursor) is not None or self._behind(self._held, cursor):
                self._held = self.keep()
        except Exception as err:  # said in the log and in `told`, and tried again
            if self._closed:
                return EngineFault("the engine is closed", hint="open it again")
            if isinstance(err, StoreCorrupt):
                with suppress(OSError):  # it only makes the next start find at once what it finds anyway
                    (self._folder / directory.SUSPECT).touch()
            log.warning("no snapshot could be made: %s", err, exc_info=not isinstance(err, RecEngineError))
            return _ours(err)
        finally:
            self._cursor = None
        return None

    def _behind(self, held: BackupReport | None, cursor: Cursor) -> bool:
        return held is None or held.ingests < ingests(cursor) or self._journal.held(held.last_seq) > self._limit
