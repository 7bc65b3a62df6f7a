"""The door to foreign files and frames: a second, in-memory DuckDB reads them and hands on Arrow batches.

Comes in: a path, a glob, a folder, a list of these, or a frame (`frames.py`). Goes out: the view `part` over one file
at a time, its columns, and batches in the order of the rows. Why a second DuckDB: it may open files and the store's own
database may not, so nothing in a foreign file reaches the store as SQL. Why one file at a time: row numbers in the
quarantine count within a file, and every file may have its own types.
"""

import csv
import glob
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from recengine.errors import BadColumn, ConfigInvalid, RecEngineError, SourceUnreadable
from recengine.store import compose
from recengine.store.compose import checks
from recengine.store.cursor import Cursor
from recengine.store.frames import arrow_table, refuse_twice
from recengine.store.kinds import family
from recengine.store.queries import query
from recengine.store.remote import Taken

__all__ = ("PART", "Clips", "Foreign", "Origin", "Part", "known_rows", "origins")

PART = "part"
"""The name of the relation that stands for the file being read."""
_UNCLIPPED = "unclipped"
Clips: TypeAlias = Mapping[tuple[str, str], tuple[float | None, float | None]]
"""(Column, field of it or "") -> between what its numbers are clipped; None = no bound."""

_READERS = {
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".txt": "read_csv",
    ".parquet": "read_parquet",
    ".pq": "read_parquet",
    ".jsonl": "read_json",
    ".ndjson": "read_json",
    ".json": "read_json",
}
_PACKED = {".gz", ".zst"}
_PULLED = "pulled"
_LANDED = 1 << 17
"""Rows of small batches that are taken over at once."""


@dataclass(frozen=True)
class Origin:
    """One file or frame of a source: its name in messages, and how to read it."""

    label: str
    path: Path | None = None
    reader: str = ""
    table: pa.Table | None = None
    address: str = ""
    """Where DuckDB reads it from over the network."""
    pulled: tuple[str, ...] | None = None
    """Not None: what `land` took over, and the columns in which it found nothing."""

    @property
    def untyped(self) -> bool:
        """Types are guessed from text, so we may ask for text."""
        return self.reader in {"read_csv", "read_json"}


@dataclass(frozen=True)
class Part:
    """What is read now: the origin and the DuckDB type of each of its columns."""

    origin: Origin
    columns: Mapping[str, str]


def origins(source: object, *, where: str) -> list[Origin]:
    """List the files or the frame that `source` names, files sorted by name.

    Raises
    ------
    SourceUnreadable : nothing is there, or its format is unknown.
    BadColumn : as `frames.arrow_table`.
    """
    if isinstance(source, list) and source and all(isinstance(one, Origin) for one in source):
        return source
    if isinstance(source, str | Path):
        return _files(str(source), where)
    if isinstance(source, list | tuple) and source and all(isinstance(s, str | Path) for s in source):
        return [origin for one in source for origin in _files(str(one), where)]
    return [Origin(label=where, table=arrow_table(source, where=where))]


def known_rows(listed: list[Origin]) -> int:
    """Count the rows that frames and Parquet footers tell of; 0 where any of `listed` cannot tell."""
    total = 0
    for origin in listed:
        if origin.table is not None:
            total += origin.table.num_rows
        elif origin.path is not None and origin.reader == "read_parquet":
            try:
                total += pq.read_metadata(origin.path).num_rows
            except (OSError, pa.ArrowException):
                return 0  # reading the file itself will say what is wrong
        else:
            return 0
    return total


def _files(pattern: str, where: str) -> list[Origin]:
    path = Path(pattern)
    if path.is_dir():
        found = sorted(str(p) for p in path.iterdir() if _format(p) is not None)
    elif path.is_file():
        found = [pattern]
    else:
        found = sorted(p for p in glob.glob(pattern, recursive=True) if Path(p).is_file())  # noqa: PTH207
    if not found:
        raise SourceUnreadable(
            f"{where}: {pattern}: no such file", hint="check the path; globs such as data/*.parquet work"
        )
    listed = []
    for name in found:
        reader = _format(Path(name))
        if reader is None:
            raise SourceUnreadable(
                f"{where}: {name}: the format is not known by its ending",
                hint="use .csv .tsv .txt, .jsonl .ndjson .json (each also .gz or .zst), .parquet or .pq",
            )
        listed.append(Origin(label=Path(name).name, path=Path(name), reader=reader))
    return listed


def _format(path: Path) -> str | None:
    suffixes = [s.lower() for s in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] in _PACKED
    kind = suffixes[-2:-1] if packed else suffixes[-1:]
    reader = _READERS.get(kind[0]) if kind else None
    return None if packed and reader == "read_parquet" else reader


class Foreign:
    """A DuckDB in memory that reads what is not ours. Belongs to one thread; use it as a context manager.

    Parameters
    ----------
    threads : 0 = all cores.
    timezone : of moments that name none.
    spill : a folder for what does not fit into the memory; it is made when it is needed.

    Raises
    ------
    ConfigInvalid : no such zone.
    """

    def __init__(
        self, threads: int = 0, memory_limit: str = "4GB", timezone: str = "UTC", *, spill: Path | None = None
    ) -> None:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "autoinstall_known_extensions": "false",
        }
        if threads:
            settings["threads"] = threads
        if spill is not None:
            settings["temp_directory"] = str(spill)
        self._raw = duckdb.connect(config=settings)
        self._label = ""
        self.cursor = Cursor(self._raw, errors=self._unreadable)
        self.cursor.execute(query("store/read_ahead"))
        try:
            self.cursor.execute(compose.time_zone(timezone))
        except SourceUnreadable as err:
            self.cursor.close()
            raise ConfigInvalid(f"cleaning.timezone: {timezone!r} is not known", hint="such as Europe/Berlin") from err
        self._registered = ""
        self._csv = False
        self._viewed: dict[str, str] = {}
        self._base = PART

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cursor.close()

    def open(self, origin: Origin, *, text: Callable[[str], bool] | None = None) -> Part:
        """Let the relation `part` stand for `origin`.

        Parameters
        ----------
        text : says of a column of an untyped format (CSV, JSON lines) whether it is to be read as text, so that the id
            007 stays 007.

        Raises
        ------
        SourceUnreadable : the file is damaged.
        BadColumn : a name stands there twice.
        """
        self._label = origin.label
        self._base = PART
        self._csv = origin.reader == "read_csv"
        if origin.table is not None:
            self._register(PART, origin.table)
            return Part(origin, self._describe())
        self._unregister()
        if origin.pulled is not None:
            self._view(origin, {})
            return Part(origin, self._describe())
        if origin.path is not None and origin.path.suffix.lower() == ".zst":
            _refuse_cut(origin.path, origin.label)
        options = self._options(origin)
        self._view(origin, options)
        columns = self._describe()
        if any(f"{name}_1" in columns for name in columns):  # so DuckDB renames the second of two
            refuse_twice(_names(origin, len(columns)), where=origin.label)
        if origin.untyped and text is not None:
            kinds = {name: "VARCHAR" if text(name) or kind == "JSON" else kind for name, kind in columns.items()}
            key = "types" if origin.reader == "read_csv" else "columns"
            self._view(origin, options | {key: compose.text_types(kinds)})
            columns = self._describe()
        return Part(origin, columns)

    def clip(self, part: Part, clips: Clips) -> None:
        """Let numbers of the relation `part` lie between bounds; the quarantine keeps all.

        It is of the file that was opened last.
        """
        if not clips:
            return
        fields = {column: self._fields(column) for column, inner in clips if inner}
        if part.origin.table is not None:
            self._register(_UNCLIPPED, part.origin.table)
        else:
            self._view(part.origin, self._viewed, _UNCLIPPED)
        kinds = {(name, inner): fields[name][inner] if inner else part.columns[name] for name, inner in clips}
        bounds = {where: (family(kind), kind, *clips[where]) for where, kind in kinds.items()}
        self.cursor.execute(checks.clipped(bounds, PART, _UNCLIPPED))
        self._base = _UNCLIPPED

    def over_network(self, address: str, label: str) -> Origin:
        """Name Parquet on object storage or behind HTTP, which DuckDB's extension `httpfs` reads.

        Raises
        ------
        SourceUnreadable : it is no Parquet, or the extension is not installed.
        """
        self._label = label
        if not address.startswith(("s3://", "gs://", "r2://", "https://", "http://")) or ".parquet" not in address:
            raise SourceUnreadable(
                f"{label}: its uri is none that can be read", hint="postgresql://, sqlite:///, files, s3://... .parquet"
            )
        try:
            self.cursor.execute(compose.LOAD_HTTPFS)
        except SourceUnreadable:
            raise SourceUnreadable(
                f"{label}: Parquet over the network needs DuckDB's extension httpfs, which is not installed",
                hint="where there is a network: python -c \"import duckdb; duckdb.sql('INSTALL httpfs')\"",
            ) from None
        return Origin(label=label, reader="read_parquet", address=address)

    def land(self, taken: Taken, label: str, tell: Callable[[int], None]) -> Origin:
        """Take over all rows of an answer, so that they can be read more than once; what exceeds the memory spills.

        Parameters
        ----------
        label : of the origin that is returned.
        tell : is told how many rows there are so far.
        """
        self._label = label
        rows, waiting, held = 0, [], 0
        self._take(taken, pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in taken.schema], schema=taken.schema))
        for batch in taken.batches:
            waiting.append(batch)
            held += batch.num_rows
            if held >= _LANDED:
                self._take(taken, *waiting, create=False)
                rows, waiting, held = rows + held, [], 0
                tell(rows)
        if waiting:
            self._take(taken, *waiting, create=False)
        tell(rows + held)
        return Origin(label=label, pulled=taken.nothing)

    def _take(self, taken: Taken, *batches: pa.RecordBatch, create: bool = True) -> None:
        with self.cursor.registered("pulled_batch", pa.Table.from_batches(batches)):
            self.cursor.execute(compose.taken_over(taken.casts, "pulled_batch", _PULLED, create=create))

    def stream(self, columns: Mapping[str, str], *, rows: int = 1 << 20) -> Iterator[pa.RecordBatch]:
        """Stream expressions over `part`: {alias: SQL from `compose`}, in row order."""
        return self.cursor.stream(compose.select(columns, PART), rows=rows)

    def rejected(self) -> int:
        """Count the lines of the CSV file read last that could not be split into columns."""
        if not self._csv or not self._has_rejects():
            return 0
        return int(self.cursor.row(compose.count_of(compose.rejects()))[0])

    def quarantine(self, part: Part, rows: npt.NDArray[np.int64], reasons: list[str], path: Path) -> None:
        """Write the rows (counted from 1) of `part` with their reasons, and rejected lines, to a Parquet file."""
        frame = pa.table({"_row": pa.array(rows, pa.int64()), "_reason": pa.array(reasons, pa.string())})
        rejected = self.rejected() > 0
        with self.cursor.registered("bad_rows", frame):
            self.cursor.execute(compose.quarantine(part.origin.label, self._base, str(path), rejected=rejected))

    # ------------------------------------------------------------------------------------------------ inside

    def _options(self, origin: Origin) -> dict[str, str]:
        if origin.reader == "read_csv":
            for table in ("reject_errors", "reject_scans"):
                self.cursor.execute(compose.drop(table))
            return {"header": "true", "store_rejects": "true", "sample_size": "-1"}
        if origin.reader == "read_json":
            one_array = origin.path is not None and _starts_with_bracket(origin.path)
            lines = {} if one_array else {"format": "'newline_delimited'", "ignore_errors": "true"}
            return {"sample_size": "-1", **lines}
        return {}

    def _view(self, origin: Origin, options: Mapping[str, str], name: str = PART) -> None:
        self._viewed = dict(options)
        if origin.pulled is not None:
            self.cursor.execute(compose.pulled_view(_PULLED, origin.pulled, name))
            return
        self.cursor.execute(compose.source_view(origin.reader, origin.address or str(origin.path), options, name))

    def _fields(self, column: str) -> dict[str, str]:
        return {str(name): str(kind) for name, kind, *_ in self.cursor.rows(compose.describe_fields(column, PART))}

    def _describe(self) -> dict[str, str]:
        return {str(name): str(kind) for name, kind, *_ in self.cursor.rows(compose.describe(PART))}

    def _register(self, name: str, table: pa.Table) -> None:
        self._unregister()
        with self.cursor.guarded():
            self._raw.register(name, table)
        self._registered = name

    def _unregister(self) -> None:
        if self._registered:
            with self.cursor.guarded():
                self._raw.unregister(self._registered)
        self._registered = ""

    def _has_rejects(self) -> bool:
        return bool(self.cursor.row(compose.has_table("reject_errors"))[0])

    def _unreadable(self, err: BaseException) -> RecEngineError:
        lines = [line for line in str(err).strip().splitlines() if line.strip()] or [type(err).__name__]
        text = lines[0]
        if "duplicate" in text.lower() and "column" in text.lower():
            return BadColumn(f"{self._label}: {text}", hint="rename or drop one of them")
        return SourceUnreadable(
            f"{self._label}: cannot be read: {text}", hint="check that the file is whole and has this format"
        )


def _names(origin: Origin, n: int) -> list[str]:
    """Read the n column names as they stand in a Parquet or CSV file; none where they cannot be told."""
    if origin.path is not None and origin.reader == "read_parquet":
        return list(pq.read_schema(origin.path).names)
    if origin.reader != "read_csv":
        return []
    with pa.input_stream(str(origin.path)) as file:  # unpacks .gz and .zst
        head = file.read(1 << 16).decode("utf-8-sig", errors="replace").splitlines()[:1]
    rows = (next(csv.reader(head, delimiter=mark), []) for mark in ",\t;|")
    return next((row for row in rows if len(row) == n), [])


def _refuse_cut(path: Path, label: str) -> None:
    """Read a .zst through once: DuckDB takes the end of a cut one for its end, and would store what is there."""
    try:
        with pa.input_stream(str(path)) as file:
            while file.read(1 << 20):
                pass
    except OSError as err:
        raise SourceUnreadable(f"{label}: cannot be read: {err}", hint="check that the file is whole") from err


def _starts_with_bracket(path: Path) -> bool:
    if path.suffix.lower() in _PACKED:
        return False
    with suppress(OSError), path.open("rb") as file:
        return file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    return False
