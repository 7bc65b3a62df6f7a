"""Export: many replies into one file, for e-mail systems and the like. Streamed, and whole or not at all.

Rows are (user_id, rank, item_id, score, reason), best first within a user.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
from pyarrow import csv, parquet

from recengine.durable import whole
from recengine.errors import BadRequest
from recengine.types import Response

__all__ = ("FORMATS", "ExportReport", "export")

FORMATS = (".parquet", ".csv", ".jsonl")
_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("rank", pa.int32()),
        ("item_id", pa.string()),
        ("score", pa.float32()),
        ("reason", pa.string()),
    ]
)


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was written, and what replies had to do without."""

    file: str
    rows: int
    degraded: dict[str, int]
    """Reason, as in `Response.degraded` -> replies."""


def export(batches: Iterable[list[Response]], target: Path) -> ExportReport:
    """Write replies to `target`, whose ending names the format.

    The file appears under its name only when it is complete and on disk.

    Raises
    ------
    BadRequest : the ending is none of .parquet, .csv, .jsonl.
    DirectoryInvalid : the folder is missing or cannot be written.
    """
    if target.suffix not in FORMATS:
        raise BadRequest(f"{target.name}: expected a name that ends in {', '.join(FORMATS)}, got {target.suffix!r}")
    degraded: Counter[str] = Counter()
    with whole(target) as out:
        rows = _WRITERS[target.suffix](_noted(batches, degraded), out)
    return ExportReport(file=str(target), rows=rows, degraded=dict(degraded))


def _noted(batches: Iterable[list[Response]], degraded: Counter[str]) -> Iterator[list[Response]]:
    for replies in batches:
        for reply in replies:
            degraded.update(reply.degraded)
        yield replies


def _table(replies: list[Response]) -> pa.RecordBatch:
    lines = [(reply.user_id, rank, item) for reply in replies for rank, item in enumerate(reply.items, 1)]
    return pa.record_batch(
        [
            pa.array([user for user, _, _ in lines], pa.string()),
            pa.array([rank for _, rank, _ in lines], pa.int32()),
            pa.array([item.item_id for _, _, item in lines], pa.string()),
            pa.array([item.score for _, _, item in lines], pa.float32()),
            pa.array([item.reason for _, _, item in lines], pa.string()),
        ],
        schema=_SCHEMA,
    )


def _columnar(writer: Callable[..., Any], batches: Iterable[list[Response]], out: BinaryIO) -> int:
    rows = 0
    with writer(out, _SCHEMA) as sink:
        for replies in batches:
            table = _table(replies)
            sink.write_batch(table)
            rows += len(table)
    return rows


def _jsonl(batches: Iterable[list[Response]], out: BinaryIO) -> int:
    rows = 0
    for replies in batches:
        table = _table(replies)
        out.write(b"".join(msgspec.json.encode(row) + b"\n" for row in table.to_pylist()))
        rows += len(table)
    return rows


_WRITERS: dict[str, Callable[[Iterable[list[Response]], BinaryIO], int]] = {
    ".parquet": partial(_columnar, parquet.ParquetWriter),
    ".csv": partial(_columnar, csv.CSVWriter),
    ".jsonl": _jsonl,
}
