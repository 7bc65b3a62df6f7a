"""External tables in the store: holidays, weather, prices. Each of their columns is a timeline.

Floor 2. In: batches of rows, known by an item, by a user, or by time alone. Out: `read_timeline`, a column as
(row, time, value), which training joins as of a moment and serving holds in memory.

Why one long table for all of them: a source may gain a column at any time, one statement forgets a user in all, and a
column is read alone. Why ids and not rows: a table may know an item before we do, and what it says counts as soon as
the item is known; giving it a row would make it something to recommend.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recengine.errors import BadColumn
from recengine.store.cursor import Cursor
from recengine.store.database import Database
from recengine.store.queries import query
from recengine.types import F64, I32, I64, NO_TIME

__all__ = (
    "ColumnKind",
    "External",
    "ExternalSink",
    "Keyed",
    "ValuesOverTime",
    "count_external",
    "externals",
    "read_timeline",
)

Keyed: TypeAlias = Literal["item", "user", "context"]
"""What leads to a row of an external table; context = the time alone."""
ColumnKind: TypeAlias = Literal["number", "label"]


class External(msgspec.Struct, frozen=True):
    """An external table as the store knows it: what leads to its rows, and the kind of each column."""

    keyed: Keyed
    columns: dict[str, ColumnKind]


class ValuesOverTime(NamedTuple):
    """A column of an external table, ordered by (row, time); n values, of one (row, time) one.

    From `time` on (microseconds; NO_TIME = since ever) the item or user `row` has `value`; every row is 0 where time
    alone leads to it. A label is its position in `labels`, which are sorted; NaN = missing from then on.
    """

    keyed: Keyed
    row: I32
    time: I64
    value: F64
    labels: tuple[str, ...] | None
    """None = the values are numbers."""


def externals(cursor: Cursor) -> dict[str, External]:
    """List the external tables by the name of their source."""
    found: dict[str, External] = {}
    for source, keyed, column, kind in cursor.rows(query("store/read_external_columns")):
        found.setdefault(source, External(keyed, {})).columns[column] = kind
    return found


def read_timeline(database: Database, source: str, column: str, *, as_of: int | None = None) -> ValuesOverTime:
    """Read a column of an external table; of items and users that are not known yet nothing.

    Parameters
    ----------
    source, column : names, as in `[[source]]` and in its data.
    as_of : nothing later than this (microseconds); None = all.

    Raises
    ------
    BadColumn : there is no such table or column (yet): `externals` lists them.

    Cost: a scan of the table's own values, about 0.2 us each.
    """
    cursor = database.read()
    table = externals(cursor).get(source)
    if table is None or column not in table.columns:
        raise BadColumn(
            f"the external table {source!r} has no column {column!r}",
            hint=f"it has {', '.join(sorted(table.columns))}" if table else f"`ingest --source {source}` pulls it",
        )
    params = {"source": source, "column": column, "as_of": as_of}
    found = cursor.table(query(f"store/read_external_of_{table.keyed}"), params)
    row = np.ascontiguousarray(found["row"].to_numpy(), dtype=np.int32)
    time = np.ascontiguousarray(found["time"].to_numpy(), dtype=np.int64)
    if table.columns[column] == "number":
        value = found["number"].to_numpy().astype(np.float64)
        return ValuesOverTime(table.keyed, row, time, value, None)
    said = found["label"].combine_chunks()
    labels = tuple(sorted(pc.unique(said).drop_null().to_pylist()))
    codes = pc.index_in(said, value_set=pa.array(labels, pa.string()))
    return ValuesOverTime(table.keyed, row, time, codes.cast(pa.float64()).to_numpy(zero_copy_only=False), labels)


def count_external(database: Database, user_id: str) -> int:
    """Count what external tables hold of a user. Cost: a scan of one column."""
    return int(database.read().row(query("store/count_external_of"), {"name": user_id})[0])


class ExternalSink:
    """Takes the batches of one source within one transaction; keeps what says something new.

    Parameters
    ----------
    cursor : of the running write.
    source : its name.
    keyed : what leads to its rows.
    columns : {name: kind} of its values.

    Raises
    ------
    BadColumn : the store knows the table by another key, or a column as another kind.
    """

    def __init__(self, cursor: Cursor, source: str, keyed: Keyed, columns: Mapping[str, ColumnKind]) -> None:
        self._cursor = cursor
        self._source = source
        self._columns = columns
        known = externals(cursor).get(source, External(keyed, {}))
        if known.keyed != keyed:
            raise BadColumn(
                f"{source}: its rows are known by {keyed} here, and by {known.keyed} in the store",
                hint="give the source another name",
            )
        for name, kind in columns.items():
            if known.columns.get(name, kind) != kind:
                raise BadColumn(
                    f"{source}: the column {name!r} is a {kind} here, and a {known.columns[name]} in the store",
                    hint="give it the same type, or another name",
                )
            if name not in known.columns:
                fields = {"source": source, "owner": keyed, "column": name, "kind": kind}
                cursor.execute(query("store/insert_external_column"), fields)
        self._key = {"item": "item_id", "user": "user_id", "context": None}[keyed]
        self.taken = 0
        cursor.execute(query("store/stage_external"))

    def add(self, ids: pa.Array | None, times: pa.Array | None, values: Mapping[str, pa.Array]) -> None:
        """Take one batch: ids as text, times int64 (us) or None = they hold from now on, a double or text a column."""
        n = len(next(iter(values.values())))
        fixed: dict[str, Any] = {"seq": np.arange(self.taken, self.taken + n, dtype=np.int64)}
        fixed |= {"user_id": pa.nulls(n, pa.string()), "item_id": pa.nulls(n, pa.string())}
        fixed["time"] = pa.nulls(n, pa.int64()) if times is None else times
        if self._key is not None:
            fixed[self._key] = ids
        for name, kind in self._columns.items():
            number = values[name] if kind == "number" else pa.nulls(n, pa.float64())
            label = values[name] if kind == "label" else pa.nulls(n, pa.string())
            with self._cursor.registered("external_batch", pa.table({**fixed, "number": number, "label": label})):
                self._cursor.execute(query("store/fill_staged_external"), {"column": name})
        self.taken += n

    def finish(self, *, at: int) -> int:
        """Append what is new, valid from `at` (microseconds) where no time was given; returns how many rows said it."""
        first = int(self._cursor.row(query("store/last_external"))[0]) + 1
        params = {"source": self._source, "first": first, "now": at, "ever": NO_TIME}
        self._cursor.execute(query("store/append_external"), params)
        self._cursor.execute(query("store/unstage_external"))
        return int(self._cursor.row(query("store/count_external_since"), {"first": first})[0])
