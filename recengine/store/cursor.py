"""One thread's way to DuckDB, and the one place where DuckDB's errors become ours.

Comes in: SQL text (from `queries.query` or `compose`) and `$name` parameters. Goes out: rows, or Arrow.
Why a wrapper: a raw cursor would leak `duckdb.Error` to every caller, and a cursor that two threads share answers
wrongly (measured: 266 of 800 answers), so each belongs to the thread that asked for it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import duckdb
import pyarrow as pa

from recengine.errors import EngineFault, RecEngineError, StoreCorrupt, StoreFailed, StoreLocked, StoreTooNew

__all__ = ("Cursor", "translate")

_LOCKED = ("could not set lock", "conflicting lock", "being used by another process")
_CORRUPT = (
    "not a valid duckdb database",
    "corrupt",
    "checksum",
    "serializ",
    "wal file",
    "this wal was created",
    "could not read enough bytes",
    "cannot open database",
    "malformed",
)
_DISK = ("could not write", "could not sync", "fsync", "no space left", "file too large", "could not truncate")
_TOO_NEW = ("version number", "storage version", "newer version")


def translate(err: BaseException) -> RecEngineError:
    """Say in our words what DuckDB meant about our own database."""
    text = str(err).strip().splitlines()[0] if str(err).strip() else type(err).__name__
    low = str(err).lower()
    if any(mark in low for mark in _LOCKED):
        return StoreLocked(f"the database is held by another process: {text}", hint="stop that process, or use its API")
    if any(mark in low for mark in _TOO_NEW):
        return StoreTooNew(f"the database file was written by a newer DuckDB: {text}", hint="upgrade recengine")
    if isinstance(err, duckdb.OutOfMemoryException) or "out of memory" in low:  # also while the log is replayed
        return StoreFailed(
            f"the database ran out of memory or of temporary disk: {text}", hint="raise store.memory_limit"
        )
    full = any(mark in low for mark in _DISK)
    if not full and (isinstance(err, duckdb.SerializationException) or any(mark in low for mark in _CORRUPT)):
        return StoreCorrupt(f"the database file is damaged: {text}", hint="restore a backup with `recengine restore`")
    fatal = isinstance(err, duckdb.FatalException | duckdb.InternalException | duckdb.IOException)
    if fatal or full:  # a failed write at the commit is a TransactionException
        return StoreFailed(f"the database could not use its disk: {text}", hint="free disk space and try again")
    return EngineFault(f"a query failed: {type(err).__name__}: {text}", hint="please report this")


class Cursor:
    """A DuckDB cursor that speaks Arrow and raises our errors. Belongs to one thread.

    Parameters
    ----------
    raw : the DuckDB connection or cursor.
    errors : turns a `duckdb.Error` into what is raised.
    lost : called when DuckDB has invalidated itself, so that the owner reopens.
    """

    __slots__ = ("__weakref__", "_errors", "_lost", "cancelled", "raw")

    def __init__(
        self,
        raw: duckdb.DuckDBPyConnection,
        errors: Callable[[BaseException], RecEngineError] = translate,
        lost: Callable[[], None] | None = None,
    ) -> None:
        self.raw = raw
        self.cancelled = False
        self._errors = errors
        self._lost = lost

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Translate what DuckDB raises inside the block."""
        if self.cancelled:
            raise EngineFault("the write was cancelled")
        try:
            yield
        except (duckdb.Error, UnicodeDecodeError) as err:
            fatal = isinstance(err, duckdb.FatalException | duckdb.InternalException) or "invalidated" in str(err)
            if fatal and self._lost is not None:
                self._lost()
            raise self._errors(err) from err

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> None:
        """Run a statement whose rows nobody reads."""
        with self.guarded():
            self.raw.execute(sql, params or {})

    def rows(self, sql: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Fetch all rows as Python tuples; for small answers."""
        with self.guarded():
            return self.raw.execute(sql, params or {}).fetchall()

    def row(self, sql: str, params: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        """Fetch the first row of an answer that has one."""
        return self.rows(sql, params)[0]

    def changed(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run an INSERT or DELETE and return how many rows it touched."""
        return int(self.row(sql, params)[0])

    def table(self, sql: str, params: Mapping[str, Any] | None = None) -> pa.Table:
        """Fetch the answer as an Arrow table."""
        with self.guarded():
            return self.raw.sql(sql, params=dict(params or {})).to_arrow_table()

    def stream(
        self, sql: str, params: Mapping[str, Any] | None = None, *, rows: int = 1 << 20
    ) -> Iterator[pa.RecordBatch]:
        """Stream the answer in Arrow batches of at most `rows` rows, in order."""
        with self.guarded():
            reader = self.raw.sql(sql, params=dict(params or {})).to_arrow_reader(rows)
        while True:
            try:
                with self.guarded():
                    batch = reader.read_next_batch()
            except StopIteration:
                return
            except (pa.ArrowException, OSError) as err:
                if isinstance(err, RecEngineError):
                    raise
                raise self._errors(err) from err
            yield batch

    @contextmanager
    def registered(self, name: str, frame: pa.Table) -> Iterator[None]:
        """Let `frame` be a table called `name` inside the block."""
        with self.guarded():
            self.raw.register(name, frame)
        try:
            yield
        finally:
            with self.guarded():
                self.raw.unregister(name)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the block one transaction: all of it, or nothing."""
        with self.guarded():
            self.raw.begin()
        try:
            yield
        except BaseException:
            with suppress(duckdb.Error):  # an invalidated database has nothing left to roll back
                self.raw.rollback()
            raise
        with self.guarded():
            self.raw.commit()

    def interrupt(self) -> None:
        """Let the query that runs fail; the one thing that another thread may ask for."""
        with suppress(duckdb.Error):
            self.raw.interrupt()

    def close(self) -> None:
        """Let go of the connection."""
        self.raw.close()
