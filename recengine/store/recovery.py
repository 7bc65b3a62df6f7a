"""The start: open the database and the journal so that nothing acknowledged is missing, or refuse and say what is.

Floor 2, called by the engine. In: a data directory. Out: a database and a journal that together hold everything: the
frames after `last_seq` are the engine's to fold and store.

DuckDB drops the damaged tail of its log in silence, and its file may be damaged as well. So what it says of itself
(`sequence.py`) is compared with the journal, and three ways are tried in this order: as it is; without its log, from
the last checkpoint; from the last verified snapshot. The journal brings the rest. Files that were passed over are kept
beside the others, with `.damaged-<time>` behind their names; where no way is left, all stand again as they were found.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from recengine.config import Storage
from recengine.durable import copy, flush
from recengine.errors import StoreCorrupt, StoreFailed
from recengine.store import directory
from recengine.store.backup import digests
from recengine.store.database import FILE, Database
from recengine.store.journal import Journal
from recengine.store.sequence import ingests, ingests_marked, last_seq, store_id
from recengine.store.snapshot import newest
from recengine.types.frames import IngestFrame, decode_frame, encode_frame

__all__ = ("open_store",)

log = logging.getLogger("recengine.store")

Opened: TypeAlias = tuple[Database, Journal]

_MARK = encode_frame(IngestFrame(0))[:8]
"""What the frame of an ingest begins with, so that the others need no decoding: a list of two, and its tag."""


def open_store(folder: Path, storage: Storage, *, suspect: bool = False) -> Opened:
    """Open the database and the journal in the data directory `folder`; heal what is damaged.

    Parameters
    ----------
    suspect : read every block of the database first. For whoever met damage after an ordinary opening, which reads only
        what it needs: close, and open once more like this.

    Raises
    ------
    StoreCorrupt : something that was acknowledged is nowhere to be found; the directory is as it was.
    StoreLocked, StoreTooNew, DirectoryInvalid : as of `Database.open`.
    StoreFailed : the disk refuses.

    Cost: that of opening DuckDB, and about 1.5 us a frame that it does not hold yet.
    """
    mark = folder / directory.SUSPECT
    opened = _open(folder, storage, suspect=suspect or mark.exists())
    mark.unlink(missing_ok=True)
    return opened


def _open(folder: Path, storage: Storage, *, suspect: bool) -> Opened:
    path = folder / FILE
    try:
        return _attempt(folder, storage, suspect=suspect)
    except StoreCorrupt as err:
        reason = err
    try:
        with _passed_over(path) as aside:
            wal = path.with_name(f"{FILE}.wal")
            if wal.exists():
                aside(wal)
                try:
                    opened = _attempt(folder, storage, suspect=suspect)
                except StoreCorrupt as err:
                    log.info("the last checkpoint does not serve either: %s", err.message)
                else:
                    log.warning("the log of the database was damaged and set aside: %s", reason.message)
                    return opened
            found = newest(folder)
            if found is None:
                raise reason
            aside(path, found[0] / FILE)
            try:
                opened = _attempt(folder, storage, suspect=True)
            except StoreCorrupt as err:
                raise StoreCorrupt(
                    f"{reason.message}; and the snapshot does not serve: {err.message}", hint=reason.hint
                ) from err
            log.warning("the database was damaged, set aside and healed from its snapshot: %s", reason.message)
            return opened
    except OSError as err:
        if isinstance(err, StoreFailed):
            raise
        raise StoreFailed(
            f"{folder}: cannot be healed: {err.strerror}; {reason.message}", hint="free disk space, check permissions"
        ) from err


@contextmanager
def _passed_over(path: Path) -> Iterator[Callable[..., None]]:
    """Lend a function that sets a file aside, and puts another in its place; undo it all where the block raises."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    done: list[tuple[Path, Path]] = []

    def aside(old: Path, new: Path | None = None) -> None:
        kept = old.with_name(f"{old.name}.damaged-{stamp}")
        if new is None:
            old.rename(kept)
            done.append((old, kept))
        else:
            fresh = old.with_name(f"{old.name}.new")
            try:
                copy(new, fresh)
                os.link(old, kept)  # there is a database under its name at every moment
                done.append((old, kept))
                fresh.rename(old)
            finally:
                fresh.unlink(missing_ok=True)
        flush(old.parent)

    try:
        yield aside
    except BaseException:
        for old, kept in reversed(done):
            kept.replace(old)
        flush(path.parent)
        raise


def _attempt(folder: Path, storage: Storage, *, suspect: bool) -> Opened:
    database = Database.open(folder / FILE, storage)
    try:
        if suspect:
            digests(database.read(), database.path.stem)
        cursor = database.read()
        at = last_seq(cursor)
        journal = Journal.open(folder / directory.JOURNAL, after=at, storage=storage, store=store_id(cursor))
        try:
            _check_ingests(database, journal, at)
        except BaseException:
            journal.close()
            raise
    except BaseException:
        database.close()
        raise
    return database, journal


def _check_ingests(database: Database, journal: Journal, at: int) -> None:
    """Hold the ingests that the database has against those that the journal knows of."""
    cursor = database.read()
    stored = ingests(cursor)
    known = max(
        (_number(payload) for _, payloads in journal.read(at) for payload in payloads if payload.startswith(_MARK)),
        default=0,
    )
    if known > stored:
        raise StoreCorrupt(
            f"{FILE}: holds {stored} ingests and the journal up to frame {at}, and ingest {known} is in no copy of it",
            hint="restore a backup with `recengine restore` and ingest again what came after it",
        )
    if stored > max(known, ingests_marked(cursor)):  # the process ended between the ingest and its frame
        try:
            journal.write([encode_frame(IngestFrame(stored))])
        except StoreFailed as err:
            log.warning("ingest %d could not be noted in the journal yet: %s", stored, err.message)


def _number(payload: bytes) -> int:
    frame = decode_frame(payload)
    return frame.ingests if isinstance(frame, IngestFrame) else 0
