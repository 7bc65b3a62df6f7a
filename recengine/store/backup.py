"""Backup and restore of a data directory: a verified copy that is there whole or not at all.

The database is copied by `COPY FROM DATABASE` inside one transaction, so the copy is one moment of a live store, and
compact: what was deleted is not in it. The locked database may ATTACH files in one folder only, `backup.tmp` beside it;
the copy is made there and moved to the target. So a backup needs room for one copy on the disk of the data directory.
Every table is compared with its copy by rows and by a hash of its content, and every file is listed in `backup.json`
with its BLAKE2b; `restore` checks both before the new directory appears.

`copy_store` is the one way to copy a database, and `read_report` to trust a copy: for backups, and for the snapshots
from which `recovery.py` heals.
"""

import errno
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from recengine.durable import copy, flush
from recengine.errors import DirectoryInvalid, EngineFault, RecEngineError, StoreCorrupt, StoreFailed
from recengine.hashes import digest
from recengine.store import compose, directory
from recengine.store.cursor import Cursor
from recengine.store.database import FILE, STAGING, Database
from recengine.store.journal import Journal
from recengine.store.migrations import SCHEMA
from recengine.store.queries import query
from recengine.store.sequence import ingests, last_seq, store_id

__all__ = ("BackupReport", "Table", "backup", "copy_store", "digests", "read_report", "restore")

MANIFEST = "backup.json"
FORMAT = 1
_COPY = "copy_of_store"
_NEVER = (errno.EINVAL, errno.ENOTSUP)
"""What a file system says that cannot sync a folder, such as one over a network: its names stand all the same."""
_one = threading.Lock()
"""Held by a backup: a store has one folder in which the copy is built."""


class Table(msgspec.Struct, frozen=True):
    """A table: its rows, and the XOR of their hashes (the order does not matter)."""

    rows: int
    digest: str


class BackupReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds; stored in it as `backup.json`."""

    format: int
    created: str
    schema: int
    tables: dict[str, Table]
    files: dict[str, str]
    """Path below the folder -> hex BLAKE2b-256 of the content."""
    last_seq: int = -1
    """The last journal frame that the database in it holds."""
    ingests: int = 0
    """How many ingests that database holds."""


def backup(source: Path | Database, target: Path) -> BackupReport:
    """Copy the data directory `source` (or the one of an open database) to the new folder `target`.

    What the journal of a closed directory holds beyond its database goes with it; whoever has one open writes that to
    the database first. Any thread may call it on an open database, also while others read and write: the copy is one
    moment. Two backups take turns.

    Raises
    ------
    DirectoryInvalid : `source` is no data directory, or `target` exists.
    StoreLocked : another process holds the store: stop it, or let it make the backup.
    StoreFailed : the disk is full, or the copy differs from the store.
    """
    if target.exists():
        raise DirectoryInvalid(f"{target}: exists already", hint="a backup goes into a new folder")
    if isinstance(source, Path):
        directory.check(source)
        with Database.open(source / FILE) as database:
            return copy_store(database, target, rest=lambda work: _copy_all(database, work))
    return copy_store(source, target, rest=lambda work: _copy_rest(source.path.parent, work))


def restore(source: Path, target: Path) -> BackupReport:
    """Make the data directory `target` from the backup `source`.

    Raises
    ------
    DirectoryInvalid : `source` is no backup, or `target` exists and is not empty.
    StoreCorrupt : the backup is damaged.
    StoreFailed : the disk is full.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DirectoryInvalid(f"{target}: is not empty", hint="restore into a new folder")
    report = read_report(source)
    with _aside(target, "restoring") as work:
        for name in report.files:
            copy(source / name, work / name)
        (work / directory.ARTIFACTS).mkdir(exist_ok=True)
        with Database.open(work / FILE, upgrading=False) as database:  # an older schema is compared as it was saved
            found = digests(database.read(), database.path.stem)
        differing = sorted(name for name, table in report.tables.items() if found.get(name) != table)
        if differing:
            raise StoreCorrupt(
                f"{source.name}: the table {differing[0]} differs from what was saved", hint="use another backup"
            )
        if target.exists():
            target.rmdir()
        _publish(work, target)
    return report


def copy_store(database: Database, target: Path, *, rest: Callable[[Path], None] | None = None) -> BackupReport:
    """Make the new folder `target` with a verified, compact copy of an open database, and its report.

    Parameters
    ----------
    rest : puts further files into the folder before it is listed and appears.

    Raises
    ------
    StoreFailed : the disk is full, or the copy differs from the store.
    StoreCorrupt : the store cannot be read to its end.

    Cost: about a second a million events; the copies of one process take turns.
    """
    with _one, _aside(target, "saving") as work:
        report = _copy_database(database, work / FILE)
        if rest is not None:
            rest(work)
        files = {p.relative_to(work).as_posix(): digest(p) for p in sorted(work.rglob("*")) if p.is_file()}
        report = msgspec.structs.replace(report, files=files)
        (work / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(report)))
        flush(work / MANIFEST)
        _publish(work, target)
    return report


@contextmanager
def _aside(target: Path, doing: str) -> Iterator[Path]:
    """Lend an empty folder beside `target`, which is removed again; what the disk refuses becomes `StoreFailed`."""
    work = target.with_name(f".{target.name}.{doing}")
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        yield work
    except OSError as err:
        if isinstance(err, RecEngineError):
            raise
        raise StoreFailed(
            f"{target}: cannot be written: {err.strerror}", hint="free disk space, check permissions"
        ) from err
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _copy_database(database: Database, path: Path) -> BackupReport:
    staging = database.path.parent / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    cursor = database.read()
    try:
        cursor.execute(compose.attach(str(staging / FILE), _COPY))
        try:
            with cursor.transaction():
                cursor.execute(compose.copy_database(database.path.stem, _COPY))
                mine, copied = digests(cursor, database.path.stem), digests(cursor, _COPY)
                at, ingested = last_seq(cursor), ingests(cursor)
        finally:
            cursor.execute(compose.detach(_COPY))
        _move(staging / FILE, path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    if mine != copied:
        raise StoreFailed("the copy of the database differs from the store", hint="check the disk and try again")
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return BackupReport(
        format=FORMAT, created=created, schema=SCHEMA, tables=mine, files={}, last_seq=at, ingests=ingested
    )


def digests(cursor: Cursor, catalog: str) -> dict[str, Table]:
    """Read every table of a database to its end: name -> rows and hash.

    Raises
    ------
    StoreCorrupt : a block is damaged.
    """
    names = [name for (name,) in cursor.rows(query("store/list_tables_of"), {"catalog": catalog})]
    if "meta" not in names:
        raise EngineFault(f"the database {catalog} has no tables", hint="please report this")
    return {name: Table(*cursor.row(compose.table_digest(catalog, name))) for name in names}


def _move(source: Path, target: Path) -> None:
    flush(source)
    try:
        source.rename(target)
    except OSError as err:
        if err.errno != errno.EXDEV:
            raise
        copy(source, target)  # the target is on another disk


def _copy_all(database: Database, work: Path) -> None:
    """Copy what stands beside a database that nothing else uses, its journal included."""
    home = database.path.parent
    if (home / directory.JOURNAL).is_dir():
        cursor = database.read()
        at = last_seq(cursor)
        journal = Journal.open(home / directory.JOURNAL, after=at, storage=database.storage, store=store_id(cursor))
        for path in journal.files(at):
            copy(path, work / path.relative_to(home))
        journal.close()
    _copy_rest(home, work)


def _copy_rest(home: Path, work: Path) -> None:
    artifacts = home / directory.ARTIFACTS
    for path in (home / directory.CONFIG, artifacts / "current"):  # the pointer before what it points to may move on
        if path.is_file():
            copy(path, work / path.relative_to(home))
    for folder in sorted(p for p in artifacts.glob("[!.]*") if p.is_dir()):  # .tmp-* is half a version
        try:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                copy(path, work / path.relative_to(home))
        except FileNotFoundError:
            if folder.exists():
                raise
            shutil.rmtree(work / folder.relative_to(home), ignore_errors=True)  # an old version, pruned meanwhile


def _publish(work: Path, target: Path) -> None:
    """Give a folder of synced files its name, once the names of the files themselves are on the disk."""
    for folder in (*sorted((p for p in work.rglob("*") if p.is_dir()), reverse=True), work):
        _flush_names(folder)
    work.rename(target)
    _flush_names(target.parent)


def _flush_names(folder: Path) -> None:
    try:
        flush(folder)
    except OSError as err:
        if err.errno not in _NEVER:
            raise


def read_report(source: Path) -> BackupReport:
    """Read what the copy in `source` holds, after checking that its files are whole.

    Raises
    ------
    DirectoryInvalid : `source` is no copy.
    StoreCorrupt : it is damaged.
    """
    report = _manifest(source)
    for name, expected in report.files.items():
        path = source / name
        if not path.is_file() or digest(path) != expected:
            raise StoreCorrupt(f"{source.name}: {name} is missing or damaged", hint="use another backup")
    return report


def _manifest(source: Path) -> BackupReport:
    path = source / MANIFEST
    if not path.is_file():
        raise DirectoryInvalid(
            f"{source}: is no backup, it has no {MANIFEST}", hint="give a folder that `recengine backup` made"
        )
    try:
        report = msgspec.json.decode(path.read_bytes(), type=BackupReport)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise StoreCorrupt(f"{source.name}: {MANIFEST} is damaged: {err}", hint="use another backup") from err
    if report.format > FORMAT:
        raise DirectoryInvalid(
            f"{source}: the backup has format {report.format}, {FORMAT} is known", hint="upgrade recengine"
        )
    unsafe = [name for name in report.files if Path(name).is_absolute() or ".." in Path(name).parts]
    if unsafe or FILE not in report.files:
        raise StoreCorrupt(
            f"{source.name}: {MANIFEST} is damaged: it lists {unsafe[:1] or 'no database'}", hint="use another backup"
        )
    return report
