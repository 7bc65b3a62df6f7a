"""What timelines said when they were last evaluated, kept so that a query that fails later leaves the last good answer.

Floor 2, under `features/timelines.py`. In and out: columns by row and time. A definition that changed finds nothing.
"""

import numpy as np
import pyarrow as pa

from recengine.store.cursor import Cursor
from recengine.store.database import Database
from recengine.store.queries import query
from recengine.types import F64, I32, I64

__all__ = ("keep_timeline", "kept_timeline")


def keep_timeline(
    cursor: Cursor,
    feature: str,
    version: str,
    owner: str,
    columns: tuple[I32, I64, F64],
    labels: tuple[str, ...] | None,
) -> None:
    """Keep what a timeline says in the place of what it said before, within the running transaction.

    Parameters
    ----------
    owner : item | user | context.
    columns : row, time and value of K entries; a value is a place in `labels`, where there are labels.
    """
    row, time, value = columns
    label = pa.nulls(len(row), pa.string())
    if labels is not None:
        places = pa.array(value, from_pandas=True).cast(pa.int64())
        label = pa.array(labels, pa.string()).take(places)
        value = np.full(len(row), np.nan)
    number = pa.array(value, pa.float64(), from_pandas=True)
    batch = pa.table({"owner_row": row, "time": time, "value": number, "label": label})
    cursor.execute(query("store/drop_timeline"), {"feature": feature})
    with cursor.registered("timeline_batch", batch):
        params = {"feature": feature, "version": version, "owner": owner}
        cursor.execute(query("store/append_timeline"), params)


def kept_timeline(database: Database, feature: str, version: str) -> tuple[I32, I64, pa.Array, pa.Array] | None:
    """Read what a timeline said: row, time, value and label of K entries, ordered by row and time; None = nothing."""
    found = database.read().table(query("store/read_timeline"), {"feature": feature, "version": version})
    if found.num_rows == 0:
        return None
    row = np.ascontiguousarray(found["owner_row"].to_numpy(), dtype=np.int32)
    time = np.ascontiguousarray(found["time"].to_numpy(), dtype=np.int64)
    return row, time, found["value"].combine_chunks(), found["label"].combine_chunks()
