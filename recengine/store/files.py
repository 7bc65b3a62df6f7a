"""The door to foreign files and frames: a second, in-memory DuckDB reads them and hands on Arrow batches.

Comes in: origins (`origins.py`). Goes out: the view `part` over one file
at a time, its columns, and batches in the order of the rows. Why a second DuckDB: it may open files and the store's own
database may not, so nothing in a foreign file reaches the store as SQL. Why one file at a time: row numbers in the
quarantine count within a file, and every file may have its own types.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recengine.errors import BadColumn, ConfigInvalid, RecEngineError, SourceUnreadable
from recengine.store import compose
from recengine.store.compose import checks
from recengine.store.cursor import Cursor
from recengine.store.frames import refuse_twice
from recengine.store.kinds import family
from recengine.store.origins import Origin, column_names, refuse_cut, starts_with_bracket
from recengine.store.queries import query
from recengine.store.remote import Taken

__all__ = ("PART", "Clips", "Foreign", "Part")

PART = "part"
"""The name of the relation that stands for the file being read."""
_UNCLIPPED = "unclipped"
Clips: TypeAlias = Mapping[tuple[str, str], tuple[float | None, float | None]]
"""(Column, field of it or "") -> between what its numbers are clipped; None = no bound."""

_PULLED = "pulled"
_LANDED = 1 << 17
"""Rows of small batches that are taken over at once."""


@dataclass(frozen=True)
class Part:
    """What is read now: the origin and the DuckDB type of each of its columns."""

    origin: Origin
    columns: Mapping[str, str]


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
            refuse_cut(origin.path, origin.label)
        options = self._options(origin)
        self._view(origin, options)
        columns = self._describe()
        if any(f"{name}_1" in columns for name in columns):  # so DuckDB renames the second of two
            refuse_twice(column_names(origin, len(columns)), where=origin.label)
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
            one_array = origin.path is not None and starts_with_bracket(origin.path)
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
