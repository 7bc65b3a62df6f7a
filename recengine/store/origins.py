"""What a source consists of: the files or the frame that it names, and what can be told of one before it is read.

Comes in: a path, a glob, a folder, a list of these, or a frame (`frames.py`). Goes out: origins for `files.py`.
"""

import csv
import glob
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recengine.errors import SourceUnreadable
from recengine.store.frames import arrow_table

__all__ = ("Origin", "column_names", "known_rows", "origins", "refuse_cut", "starts_with_bracket")

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


def column_names(origin: Origin, n: int) -> list[str]:
    """Read the n column names as they stand in a Parquet or CSV file; none where they cannot be told."""
    if origin.path is not None and origin.reader == "read_parquet":
        return list(pq.read_schema(origin.path).names)
    if origin.reader != "read_csv":
        return []
    with pa.input_stream(str(origin.path)) as file:  # unpacks .gz and .zst
        head = file.read(1 << 16).decode("utf-8-sig", errors="replace").splitlines()[:1]
    rows = (next(csv.reader(head, delimiter=mark), []) for mark in ",\t;|")
    return next((row for row in rows if len(row) == n), [])


def refuse_cut(path: Path, label: str) -> None:
    """Read a .zst through once: DuckDB takes the end of a cut one for its end, and would store what is there."""
    try:
        with pa.input_stream(str(path)) as file:
            while file.read(1 << 20):
                pass
    except OSError as err:
        raise SourceUnreadable(f"{label}: cannot be read: {err}", hint="check that the file is whole") from err


def starts_with_bracket(path: Path) -> bool:
    """Say whether a JSON file is one array, and not a line a row."""
    if path.suffix.lower() in _PACKED:
        return False
    with suppress(OSError), path.open("rb") as file:
        return file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    return False
