"""The database file: one writer thread, one cursor a reading thread, a locked configuration, a way back after failure.

Why one writer: appends of one transaction at a time never conflict, and what is acknowledged has one order.
Why a locked configuration: after opening, SQL can reach no file, no network and no extension; foreign files are read by
another, in-memory DuckDB (`files.py`). The one exception is the folder in which `backup.py` builds its copy.
"""

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

import duckdb

from recengine.config import Storage
from recengine.durable import flush
from recengine.errors import DirectoryInvalid, EngineFault, StoreCorrupt, StoreFailed, StoreLocked
from recengine.store.cursor import Cursor, translate
from recengine.store.migrations import upgrade
from recengine.store.queries import query
from recengine.store.writer import Writer

__all__ = ("FILE", "STAGING", "Database")

T = TypeVar("T")

FILE = "recengine.duckdb"
"""The name of the database within a data directory."""

STAGING = "backup.tmp"
"""The folder beside the database in which a backup is built; the only one that the locked database may write."""

_MAGIC = slice(8, 12)
_open_here: set[Path] = set()
_open_lock = threading.Lock()


class Database:
    """An open database. Make it with `Database.open`; close it, or use it as a context manager.

    Parameters
    ----------
    path : of the DuckDB file.
    storage : limits of memory and threads.
    """

    def __init__(self, path: Path, storage: Storage) -> None:
        self.path = path
        self.storage = storage
        self._lock = threading.RLock()
        self._mine = threading.local()
        self._cursors: weakref.WeakSet[Cursor] = weakref.WeakSet()
        self._generation = 0
        self._lost = False
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._active: Cursor | None = None
        self._writer = Writer("recengine-writer")
        self._closed = False
        self._log = 0
        """The inode of the log whose name is known to be on the disk; 0 = of none."""

    @classmethod
    def open(cls, path: Path, storage: Storage | None = None, *, create: bool = False, upgrading: bool = True) -> Self:
        """Open the database file at `path`, bring its schema up to date (if `upgrading`), and lock it down.

        Raises
        ------
        DirectoryInvalid : there is no such file and `create` is false, or it cannot be made.
        StoreLocked : another process, or this one, holds it.
        StoreCorrupt : the file is damaged, or not of recengine.
        StoreTooNew : a newer recengine wrote it.
        """
        path = path.resolve()
        with _open_lock:
            # Before the file is touched: closing any descriptor of it would drop the lock that this process holds on it
            # (fcntl(2)), and another process could then write beside us.
            if path in _open_here:
                raise StoreLocked(
                    f"{path.name} is already open in this process", hint="share the one Engine, or close it first"
                )
            _check_file(path, create=create)
            _sync(path)
            _open_here.add(path)
        self = cls(path, storage or Storage())
        try:
            self._connect()
            if upgrading:
                self.write(upgrade)
        except BaseException:
            self.close()
            raise
        return self

    def read(self) -> Cursor:
        """Return this thread's own cursor; never hand it to another thread."""
        with self._lock:
            self._ready()
            mine: tuple[int, Cursor] | None = getattr(self._mine, "cursor", None)
            if mine is None or mine[0] != self._generation:
                mine = (self._generation, self._cursor())
                self._mine.cursor = mine
            return mine[1]

    def write(self, fn: Callable[[Cursor], T], *, committed: Callable[[], None] | None = None) -> T:
        """Run `fn(cursor)` in one transaction on the writer thread and return its result, or roll back and raise.

        Calls queue. `committed` is called on the writer thread right after the commit. An interrupt (Ctrl-C) while
        waiting rolls the transaction back, unless it is committed already, before it goes on.

        Raises
        ------
        EngineFault : the database is closed, or this is the writer thread.
        """
        return self._awaited(lambda: self._transact(fn, committed))

    def checkpoint(self) -> None:
        """Bring everything that is committed from the log into the database file; other threads read on.

        It runs on the writer thread, between two writes: only an open write is in its way.

        Raises
        ------
        StoreFailed : the disk refuses; the log holds what was committed.
        """
        self._awaited(self._checkpoint)

    def close(self) -> None:
        """Finish queued writes, checkpoint and let go of the file. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._writer.stop()
        with self._lock:
            self._disconnect()
        with _open_lock:
            _open_here.discard(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------ inside

    def _awaited(self, call: Callable[[], T]) -> T:
        if self._writer.runs_here():
            raise EngineFault("a write was started inside a write", hint="please report this")
        future: Future[T] = Future()
        try:  # from here on an interrupt finds the future, wherever it strikes
            self._writer.submit(future, call)
            return future.result()
        except BaseException:
            if not future.done() and not future.cancel():
                self._interrupt(future)
            raise

    def _transact(self, fn: Callable[[Cursor], T], committed: Callable[[], None] | None) -> T:
        cursor = self.read()
        self._active = cursor
        try:
            with cursor.transaction():
                result = fn(cursor)
            if committed is not None:
                committed()
            self._settle()
            return result
        finally:
            self._active = None
            cursor.cancelled = False

    def _checkpoint(self) -> None:
        self._log = 0  # a new log may well get the number that the old one had
        self.read().execute(query("store/checkpoint"))

    def _settle(self) -> None:
        """Force the name of the log to the disk where it is a new file.

        DuckDB syncs its files but never their folder, and makes a new log after every checkpoint: a power cut could
        take the whole log, and with it an ingest that was acknowledged.
        """
        try:
            log = _log_of(self.path).stat().st_ino
        except FileNotFoundError:  # all of it is in the database file
            self._log = 0
            return
        if log != self._log:
            try:
                flush(self.path.parent)
            except OSError as err:
                raise StoreFailed(
                    f"{self.path.parent}: cannot be synced: {err.strerror}", hint="check the disk"
                ) from err
            self._log = log

    def _interrupt(self, future: Future[T]) -> None:
        while not future.done():
            active = self._active
            if active is not None:
                active.cancelled = True
                active.raw.interrupt()
            wait([future], timeout=0.05)

    def _ready(self) -> None:
        if self._connection is None and self._closed:
            raise EngineFault("the database is closed", hint="open it again")
        if self._lost:  # DuckDB invalidated itself (disk full, I/O error); what was committed is in the file
            self._disconnect()
            self._connect()

    def _connect(self) -> None:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": self.storage.memory_limit,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
        }
        if self.storage.threads:
            settings["threads"] = str(self.storage.threads)
        try:
            self._connection = duckdb.connect(str(self.path), config=settings)
            self._connection.execute(query("store/allow_staging"), {"folder": f"{self.path.parent / STAGING}/"})
            self._connection.execute(query("store/lock_outside"))
            self._connection.execute(query("store/lock_configuration"))
        except (duckdb.Error, UnicodeDecodeError) as err:
            self._disconnect()
            raise translate(err) from err
        self._lost = False
        self._log = 0
        self._generation += 1

    def _disconnect(self) -> None:
        for cursor in list(self._cursors):
            with suppress(duckdb.Error):
                cursor.close()
        self._cursors.clear()
        if self._connection is not None:
            with suppress(duckdb.Error):  # closing checkpoints; what cannot be stays in the log and is replayed
                self._connection.close()
        self._connection = None

    def _cursor(self) -> Cursor:
        if self._connection is None:
            raise EngineFault("the database is closed", hint="open it again")
        cursor = Cursor(self._connection.cursor(), lost=self._mark_lost)
        self._cursors.add(cursor)
        return cursor

    def _mark_lost(self) -> None:
        self._lost = True


def _check_file(path: Path, *, create: bool) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        if create and path.parent.is_dir():
            return
        raise DirectoryInvalid(
            f"{path}: there is no database", hint=f"make one with `recengine init {path.parent}`"
        ) from None
    except OSError as err:
        raise DirectoryInvalid(f"{path}: cannot be read: {err.strerror}", hint="check the permissions") from err
    if head[_MAGIC] != b"DUCK":
        raise StoreCorrupt(f"{path.name} is not a DuckDB database", hint="restore a backup with `recengine restore`")


def _sync(path: Path) -> None:
    """Force to the disk what a killed process left in the kernel's memory alone: from here on it counts as stored.

    A commit whose sync the kill prevented would be read, and answered for, and be gone after a power cut.
    """
    try:
        for file in (path, _log_of(path)):
            if file.exists():
                flush(file)
        flush(path.parent)
    except OSError as err:
        raise StoreFailed(f"{path.name}: cannot be synced: {err.strerror}", hint="check the disk") from err


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")
