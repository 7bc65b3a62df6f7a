"""Write a training table for people and other tools: one Parquet file, a row a probe, a column a feature.

A job: it needs the offline spine's table and the ids of the doors. In: `Table`. Out: a file that appears whole. Before
the features stand `user_id`, `item_id`, `time` (a timestamp, or the feed's own integer), `taken` (whether the user took
the item up) and `group` (rows of one moment of one user). Categories are words, and what is missing is null.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow import parquet

from recengine.durable import whole
from recengine.errors import BadRequest, EmptyData
from recengine.features.definition import Feature
from recengine.offline.featuring import Table
from recengine.store.vocab import Vocabulary
from recengine.types import F32, I32

__all__ = ("TableReport", "write_table")

_META = b"recengine.features"
"""Key of the file's metadata under which the versions stand, as JSON."""
_BATCH = 1 << 17
"""Rows turned into words at once."""


class TableReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was written."""

    file: str
    rows: int
    taken: int
    """Rows whose item was taken up."""
    features: int
    bytes: int


def write_table(table: Table, users: Vocabulary, items: Vocabulary, target: Path) -> TableReport:
    """Write a table to `target`; it stands there under its name only when it is complete and on disk.

    Raises
    ------
    BadRequest : the name does not end in .parquet.
    EmptyData : the table has no row.
    DirectoryInvalid : the folder is missing or cannot be written.

    Cost: about 0.1 us a value; memory: 2^17 rows.
    """
    if target.suffix != ".parquet":
        raise BadRequest(f"{target.name}: expected a name that ends in .parquet, got {target.suffix!r}")
    rows = len(table.drawn.taken)
    if rows == 0:
        raise EmptyData("no event leaves a row", hint="events need an item to set beside the one that was taken")
    schema = _schema(table)
    with whole(target) as out, parquet.ParquetWriter(out, schema) as sink:
        for first in range(0, rows, _BATCH):
            part = slice(first, min(first + _BATCH, rows))
            sink.write_batch(pa.record_batch(_columns(table, users, items, part), schema=schema))
    taken = int(np.count_nonzero(table.drawn.taken))
    size = target.stat().st_size
    return TableReport(file=str(target), rows=rows, taken=taken, features=len(table.features.names), bytes=size)


def _schema(table: Table) -> pa.Schema:
    time = pa.timestamp("us", "UTC") if table.past.timed else pa.int64()
    fields = [("user_id", pa.string()), ("item_id", pa.string()), ("time", time), ("taken", pa.bool_())]
    fields += [("group", pa.int32())]
    fields += [(f.name, pa.string() if f.dtype == "category" else pa.float32()) for f in table.features.features]
    versions = {feature.name: feature.version for feature in table.features.features}
    return pa.schema(fields, metadata={_META: msgspec.json.encode(versions)})


def _columns(table: Table, users: Vocabulary, items: Vocabulary, part: slice) -> list[Any]:
    drawn = table.drawn
    probes = drawn.probes
    time = pa.array(probes.times[part])
    return [
        _words(probes.users[part], users),
        _words(probes.items[part], items),
        time.cast(pa.timestamp("us", "UTC")) if table.past.timed else time,
        pa.array(drawn.taken[part] > 0),
        pa.array(drawn.group[part]),
        *(
            _said(feature, values[part], table.labels)
            for feature, values in zip(table.features.features, table.values, strict=True)
        ),
    ]


def _words(rows: I32, ids: Vocabulary) -> pa.Array:
    distinct, place = np.unique(rows, return_inverse=True)
    return pa.array(ids.ids(distinct.astype(np.int32)), pa.string()).take(pa.array(place))


def _said(feature: Feature, values: F32, labels: Mapping[str, tuple[str, ...]]) -> pa.Array:
    missing = np.isnan(values)
    if feature.dtype != "category":
        return pa.array(values, mask=missing)
    codes = pa.array(np.where(missing, 0, values).astype(np.int32), mask=missing)
    return pa.array(labels.get(feature.domain, ()), pa.string()).take(codes)
