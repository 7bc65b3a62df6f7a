"""Values by entity and moment, from a query or an external table: from a moment on, an item, user or all have a value.

Below both spines: training joins a timeline as of each row of its table, serving holds what is in force now. In: a
feature whose `how` is a `Timeline`. Out: `Told`, ordered by (row, time).

What a query finds counts from the next multiple of `every` on, never at once: serving asks the query at such moments,
so training must not see it sooner. Where the order of events is no time, nothing can be placed among them, and the
latest value counts everywhere.
"""

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recengine.errors import ConfigInvalid
from recengine.features.definition import Feature, Timeline
from recengine.features.signals import BUCKET
from recengine.store.asked import answered
from recengine.store.cursor import Cursor
from recengine.store.database import Database
from recengine.store.tables import externals, read_timeline
from recengine.store.timelines import keep_timeline, kept_timeline
from recengine.types import F32, F64, I32, I64, NO_TIME

__all__ = ("NOTHING", "Told", "coded", "evaluate", "in_force_at", "keep", "kept")

NEVER = int(np.iinfo(np.int64).max)


class Told(NamedTuple):
    """A timeline of K entries, of one (row, time) one.

    From `time` on (microseconds; NO_TIME = since ever) `row` has `value`; every row is 0 where time alone leads to it.
    A value of a category is a position in `labels`, which ascend; NaN = missing from then on.
    """

    row: I32
    time: I64
    value: F64
    labels: tuple[str, ...] | None
    """None = the values are numbers."""


NOTHING = Told(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0), None)


def evaluate(database: Database, feature: Feature, *, timed: bool, as_of: int | None = None) -> Told:
    """Ask a query, or read a column of an external table.

    Parameters
    ----------
    feature : its `how` is a `Timeline`.
    timed : whether events have moments.
    as_of : as if nothing later were there (microseconds; of an untimed store, the feed's order); None = all.

    Raises
    ------
    ConfigInvalid : the query fails, gives columns of the wrong type or an unknown entity, or the external table has no
        such column. The message names file and line of the definition.
    """
    how = feature.how
    assert isinstance(how, Timeline)  # noqa: S101 - the caller chose it by that
    if how.source:
        return _pulled(database, feature, how, as_of if timed else None)
    known = {name: (table.keyed, table.columns) for name, table in externals(database.read()).items()}
    where = f"{feature.where or '[[feature]]'}: feature {feature.name!r}"
    found = answered(database, how.sql, how.owner, known, timed=timed, as_of=as_of, where=where)
    row = np.zeros(found.num_rows, np.int32)
    if how.owner != "context":
        row = _rows(found, how.owner, where)
    time = _times(found["time"].combine_chunks(), where)
    value, labels = _values(_whole(found["value"]), feature, where)
    return _ordered(Told(row, time, value, labels), how.every * BUCKET if timed else 0)


def coded(told: Told, labels: tuple[str, ...]) -> F32:
    """Return the values as float32; those of a category as codes into other `labels`, NaN where these lack one."""
    if told.labels is None:
        fits = np.abs(told.value) <= np.finfo(np.float32).max  # what float32 cannot hold is no value
        return np.where(fits, told.value, np.nan).astype(np.float32)
    place = {label: code for code, label in enumerate(labels)}
    codes = np.array([*(place.get(label, np.nan) for label in told.labels), np.nan], np.float32)
    return codes[np.where(np.isnan(told.value), len(told.labels), told.value).astype(np.int64)]


def in_force_at(told: Told, values: F32, n: int, t: int) -> F32:
    """Return the value of every row in force at `t`, float32 (n,); NaN = none is. Cost: O(K + n)."""
    out = np.full(n, np.nan, np.float32)
    begun = np.flatnonzero((told.time <= t) & (told.row < n))
    out[told.row[begun]] = values[begun]  # of several of one row the last assignment stays: they are in order of time
    return out


def keep(database: Database, said: Sequence[tuple[Feature, Told]]) -> None:
    """Keep what timelines say in the place of what they said before, all in one transaction."""

    def write(cursor: Cursor) -> None:
        for feature, told in said:
            assert isinstance(feature.how, Timeline)  # noqa: S101 - the caller chose it by that
            keep_timeline(cursor, feature.name, feature.version, feature.how.owner, told[:3], told.labels)

    if said:
        database.write(write)


def kept(database: Database, feature: Feature) -> Told | None:
    """Return what a timeline said when it was last kept; None = nothing, or its definition was another one."""
    found = kept_timeline(database, feature.name, feature.version)
    if found is None:
        return None
    row, time, value, label = found
    numbers, labels = _values(label if feature.dtype == "category" else value, feature, feature.name)
    return Told(row, time, numbers, labels)


def _pulled(database: Database, feature: Feature, how: Timeline, as_of: int | None) -> Told:
    table = externals(database.read()).get(how.source)
    if table is None:  # it is declared, and was never pulled: nothing is known
        return NOTHING
    where = f"{feature.where or '[[feature]]'}: feature {feature.name!r}"
    if how.column not in table.columns or table.keyed != how.owner:
        has = f"is known by {table.keyed}, with columns {', '.join(sorted(table.columns))}"
        _refuse(where, f"source {how.source!r} {has}", f"it is asked for {how.column!r}, by {how.owner}")
    wanted = "label" if feature.dtype == "category" else "number"
    if table.columns[how.column] != wanted:
        _refuse(where, f"column {how.column!r} holds {table.columns[how.column]}s, not {wanted}s", "set dtype")
    found = read_timeline(database, how.source, how.column, as_of=as_of)
    return Told(found.row, found.time, found.value, found.labels)


def _rows(found: pa.Table, owner: str, where: str) -> I32:
    rows = _whole(found["row"])
    if rows.null_count:
        said = _whole(found["entity"]).filter(pc.is_null(rows))
        first = said[0].as_py()
        _refuse(
            where,
            f"{rows.null_count} rows are about no {owner} that is known; the first: {first!r}",
            f"`entity` is the {owner}'s id; join with {owner}s to keep those that are known",
        )
    return np.ascontiguousarray(rows.to_numpy(), dtype=np.int32)


def _times(column: pa.Array, where: str) -> I64:
    column = _whole(column)
    kind = column.type
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("s")).cast(pa.timestamp("us"))
    elif pa.types.is_timestamp(kind) and kind.unit != "us":
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    elif not (pa.types.is_timestamp(kind) or pa.types.is_integer(kind)):
        _refuse(where, f"expected `time` to be a timestamp, a date or microseconds, got {kind}")
    if column.null_count:
        _refuse(where, f"`time` is missing in {column.null_count} rows", "'-infinity'::TIMESTAMP is since ever")
    return np.ascontiguousarray(column.cast(pa.int64()).to_numpy())


def _values(column: pa.Array, feature: Feature, where: str) -> tuple[F64, tuple[str, ...] | None]:
    kind = column.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    number = pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
    empty = pa.types.is_null(kind) or len(column) == column.null_count
    if feature.dtype == "category":
        if not (text or empty):
            _refuse(where, f"expected `value` to be text, for a category, got {kind}", "cast it, or set dtype")
        said = column.cast(pa.string())
        labels = tuple(sorted(pc.unique(said).drop_null().to_pylist()))
        codes = pc.index_in(said, value_set=pa.array(labels, pa.string()))
        return codes.cast(pa.float64()).to_numpy(zero_copy_only=False), labels
    if not (number or pa.types.is_decimal(kind) or empty):
        _refuse(where, f"expected `value` to be a number, got {kind}", "cast it, or set dtype")
    values = column.cast(pa.int8()) if pa.types.is_boolean(kind) else column
    return values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), None


def _ordered(told: Told, every: int) -> Told:
    """Move what a query found to the grid, and keep of one row and moment what was found last."""
    fits = told.time < NEVER - every  # 'infinity' is never
    row, time, value = told.row[fits], told.time[fits], told.value[fits]
    ever = time <= NO_TIME + 1
    order = np.lexsort((np.nan_to_num(value, nan=-np.inf), time, row))  # a query may give the rows in any order
    row, value = row[order], value[order]
    time = np.where(ever, NO_TIME, (time // every + 1) * every if every else time)[order]
    last = np.concatenate(((row[1:] != row[:-1]) | (time[1:] != time[:-1]), np.ones(min(len(row), 1), bool)))
    return Told(row[last], time[last], value[last], told.labels)


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    while isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column


def _refuse(where: str, what: str, hint: str = "") -> NoReturn:
    raise ConfigInvalid(f"{where}: {what}", hint=hint)
