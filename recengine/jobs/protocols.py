"""Files -> what `evaluate` learns from and judges by: the split protocol and leave-one-out.

In: paths or frames with a user and an item column, and maybe `order`, `value` and `type`. Out: `Part`s, as the offline
spine builds them from the store, but with the targets that the published protocols mean: all items of the test side.

Rows follow the sorted ids, so results do not depend on the order of users in a file. Without an order column the order
of the file's rows is that of the events.
"""

from collections.abc import Mapping

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recengine.config import EventType
from recengine.errors import BadColumn, EmptyData
from recengine.features.interaction import event_weights
from recengine.offline.build import Part, part, rows_of
from recengine.offline.ingest.events import MAX_TYPES, MAX_VALUE
from recengine.offline.ingest.order import plan_order
from recengine.offline.ingest.roles import check_roles, find_roles
from recengine.store.compose import id_text, quoted, text_number, whole_number
from recengine.store.files import Foreign
from recengine.store.files import Part as Opened
from recengine.store.kinds import family
from recengine.store.origins import origins
from recengine.types import F32, I64, NO_TIME, Bools, Catalogue, EventColumns

__all__ = ("Task", "leave_one_out", "split", "undivided", "validation_part")

_ROLES = ("user", "item", "order", "value", "type")


class Task(msgspec.Struct, frozen=True):
    """Events, and which of them are learned from; the rest is judged by."""

    events: EventColumns
    learned: Bools
    ordered: bool
    """The events carry an order, not only that of their file."""
    n_users: int
    n_items: int
    types: tuple[EventType, ...]
    described: tuple[Catalogue, Catalogue] | None = None
    """What is known of (users, items); None = nothing."""

    def part(self) -> Part:
        """Make the two sides."""
        return self._between(self.learned, ~self.learned)

    def _between(self, before: Bools, after: Bools) -> Part:
        weights = event_weights(self.events, self.types)
        known = self.described or (_undescribed(self.n_users), _undescribed(self.n_items))
        side = part(self.events, weights, self.types, *known, before, after)
        wanted = after & (weights > 0)
        targets = rows_of(self.events.user[wanted], self.events.item[wanted], self.n_items)
        return msgspec.structs.replace(side, targets=targets)


def split(train: object, test: object, columns: Mapping[str, str], types: tuple[EventType, ...]) -> Task:
    """Read a training and a test side.

    Raises
    ------
    SourceUnreadable, BadColumn : a file or a column cannot be read.
    EmptyData : a side has no rows.
    """
    sides = [_read(train, columns, "train"), _read(test, columns, "test")]
    for name, side in zip(("train", "test"), sides, strict=True):
        if side.num_rows == 0:
            raise EmptyData(f"{name}: no rows", hint="check the file")
    return _task(sides, types)


def undivided(train: object, columns: Mapping[str, str], types: tuple[EventType, ...]) -> Task:
    """Read a training side alone: all of it is learned from, so only a `validation_part` of it can judge.

    Raises
    ------
    SourceUnreadable, BadColumn, EmptyData : as in `split`.
    """
    side = _read(train, columns, "train")
    if side.num_rows == 0:
        raise EmptyData("train: no rows", hint="check the file")
    return _task([side], types)


def leave_one_out(log: object, columns: Mapping[str, str], types: tuple[EventType, ...]) -> Task:
    """Read one log: the last event of every user with at least two is the test.

    Raises
    ------
    SourceUnreadable, BadColumn, EmptyData : as in `split`; also no user has two events.
    """
    task = _task([_read(log, columns, "log")], types)
    learned = ~_last_of_each(task.events, task.learned)
    if learned.all():
        raise EmptyData("log: no user has two events", hint="leave-one-out needs a history to learn from")
    return msgspec.structs.replace(task, learned=learned)


def validation_part(task: Task, *, last_only: bool, share: float, seed: int) -> Part:
    """Hold out a part of what is learned from, to choose by; nothing of the test side is looked at.

    `last_only`: each user's last event. Else `share` of each user's events, at least one of two: the latest where the
    events carry an order, random ones (drawn with `seed`) where not, because then the test side was drawn so as well.
    """
    held = _last_of_each(task.events, task.learned) if last_only else _share_of_each(task, share, seed)
    if not held.any():
        raise EmptyData("no user has two events to learn from", hint="choosing needs a part to hold out")
    return task._between(task.learned & ~held, held)  # noqa: SLF001 - the same module


def _last_of_each(events: EventColumns, among: Bools) -> Bools:
    """Mark the last event of each user that has at least two in `among`."""
    rows = np.flatnonzero(among)
    user = events.user[rows]
    last = np.flatnonzero(np.append(user[1:] != user[:-1], True)) if len(user) else np.empty(0, np.int64)
    several = last[np.diff(np.concatenate(([-1], last))) > 1]
    out = np.zeros(len(among), np.bool_)
    out[rows[several]] = True
    return out


def _share_of_each(task: Task, share: float, seed: int) -> Bools:
    rows = np.flatnonzero(task.learned)
    if not task.ordered:
        rows = rows[np.random.default_rng(seed).permutation(len(rows))]
        rows = rows[np.argsort(task.events.user[rows], kind="stable")]
    user = task.events.user[rows]
    counts = np.bincount(user, minlength=task.n_users)
    ends = np.cumsum(counts)
    held = np.where(counts > 1, np.maximum(1, np.rint(share * counts)), 0).astype(np.int64)
    out = np.zeros(len(task.learned), np.bool_)
    out[rows[np.arange(len(rows)) >= (ends - held)[user]]] = True
    return out


def _read(source: object, columns: Mapping[str, str], where: str) -> pa.Table:
    """Read the columns that matter, under the names of their roles."""
    check_roles(columns)
    tables = []
    with Foreign() as foreign:
        for origin in origins(source, where=where):
            wanted = {columns.get(role, role) for role in ("user", "item", "type")}
            opened = foreign.open(origin, text=lambda name, ids=wanted: name in ids)  # type: ignore[misc]
            found = find_roles("events", list(opened.columns), columns, where=origin.label, alone=True)
            roles = [role for role in _ROLES if role in found and (role in columns or role in {"user", "item"})]
            wanted_sql = {role: _expression(foreign, opened, role, found[role], origin.label) for role in roles}
            batches = list(foreign.stream(wanted_sql))
            if batches:
                tables.append(pa.Table.from_batches(batches))
    return pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({"user": [], "item": []})


def _expression(foreign: Foreign, opened: Opened, role: str, column: str, where: str) -> str:
    """Say how to read a column, as ingest reads it; an order keeps its own numbers or moments.

    Raises
    ------
    BadColumn : a column of this type cannot be a value or an order.
    """
    kind = opened.columns[column]
    what = family(kind)
    if role == "value":
        if what not in {"integer", "float", "text", "null"}:
            raise BadColumn(f"{where}: the value column {column!r} is {kind}", hint="a value is a number")
        return text_number(column, what)
    if role == "order":
        if what == "integer":
            return whole_number(column, kind)
        if what in {"float", "timestamp"}:
            return quoted(column)
        return plan_order(foreign, opened, column, "auto", where=where).expression
    return id_text(column, what) if role in {"user", "item"} else f"CAST({quoted(column)} AS VARCHAR)"


def _task(sides: list[pa.Table], types: tuple[EventType, ...]) -> Task:
    learned = np.repeat(np.arange(len(sides)) == 0, [side.num_rows for side in sides])
    user, n_users = _rows(sides, "user")
    item, n_items = _rows(sides, "item")
    n = len(learned)
    time, ordered = _order(sides, n)
    value = _values(sides, n)
    kind, names = _types(sides, value, n)
    by_user = np.lexsort((np.arange(n), time, user))
    events = EventColumns(
        by_user.astype(np.int64),
        user[by_user].astype(np.int32),
        item[by_user].astype(np.int32),
        kind[by_user],
        value[by_user],
        time[by_user],
        names,
    )
    return Task(events, learned[by_user], ordered, n_users, n_items, types)


def _column(sides: list[pa.Table], name: str) -> pa.ChunkedArray:
    """Stack a column of all sides; text where they differ in type."""
    arrays = [side[name] for side in sides]
    if len({array.type for array in arrays}) > 1:
        arrays = [array.cast(pa.string()) for array in arrays]
    stacked = pa.chunked_array([chunk for array in arrays for chunk in array.chunks], arrays[0].type)
    if stacked.null_count:
        raise BadColumn(
            f"the {name} column has {stacked.null_count} empty values or ones that cannot be read",
            hint="drop these rows",
        )
    return stacked


def _rows(sides: list[pa.Table], name: str) -> tuple[I64, int]:
    ids = _column(sides, name)
    known = ids.unique()
    known = known.take(pc.sort_indices(known))
    return pc.index_in(ids, value_set=known).to_numpy().astype(np.int64), len(known)


def _order(sides: list[pa.Table], n: int) -> tuple[I64, bool]:
    if not all("order" in side.column_names for side in sides):
        return np.arange(n, dtype=np.int64), False
    column = _column(sides, "order")
    if pa.types.is_temporal(column.type):
        return column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_numpy(), True  # below 1 us is cut off
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64()).to_numpy(), True
    fractions = column.cast(pa.float64()).to_numpy()
    if np.isnan(fractions).any():
        raise BadColumn(f"the order column has {int(np.isnan(fractions).sum())} NaN", hint="drop these rows")
    return np.unique(fractions, return_inverse=True)[1].astype(np.int64), True  # only their order counts


def _values(sides: list[pa.Table], n: int) -> F32:
    if not all("value" in side.column_names for side in sides):
        return np.full(n, np.nan, np.float32)
    raw = _column(sides, "value").to_numpy()
    bad = int((~(np.abs(raw) <= MAX_VALUE)).sum())
    if bad:
        raise BadColumn(
            f"the value column has {bad} values that are not finite numbers up to {MAX_VALUE:.0e}",
            hint="drop these rows, or map another column to value",
        )
    values: F32 = raw.astype(np.float32)
    return values


def _types(sides: list[pa.Table], value: F32, n: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read the types; without such a column a row with a value is a `rating`, else an `interaction`."""
    if all("type" in side.column_names for side in sides):
        column = _column(sides, "type").combine_chunks().dictionary_encode()
        if len(column.dictionary) > MAX_TYPES:
            raise BadColumn(
                f"the type column has more than {MAX_TYPES:,} event types", hint="map another column to type"
            )
        return column.indices.to_numpy().astype(np.int16), tuple(column.dictionary.to_pylist())
    rated = len(value) > 0 and not np.isnan(value).all()
    return np.zeros(n, np.int16), ("rating",) if rated else ("interaction",)


def _undescribed(n: int) -> Catalogue:
    return Catalogue(n, {}, np.ones(n, np.uint8), np.full(n, NO_TIME, np.int64))
