"""Read external tables (holidays, weather, prices): what leads to a row, bad rows aside, values to the store.

Part of the ingest stage. An item, a user, or nothing but a time leads to a row; every other column is a value, a number
or a label, that holds from the row's time on, or from now on where there is none.
"""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recengine.errors import BadColumn
from recengine.offline.ingest.order import OrderPlan, plan_order
from recengine.offline.ingest.roles import what_is_there
from recengine.offline.ingest.write import SourceReport, Write
from recengine.store import compose
from recengine.store.files import Origin, Part
from recengine.store.kinds import Family, family
from recengine.store.tables import ColumnKind, ExternalSink, Keyed
from recengine.store.vocab import Draft

__all__ = ("External", "ingest_external")

_NAMES = {
    "item": ("item_id", "item", "itemid"),
    "user": ("user_id", "user", "userid"),
    "time": ("time", "timestamp", "date", "datetime", "day", "at"),
}
"""How a column is taken for a role where none was told."""
_KINDS: dict[Family, ColumnKind] = {
    "bool": "number",
    "integer": "number",
    "float": "number",
    "timestamp": "number",
    "text": "label",
}
_ID, _TIME = "item or user is missing or not an id", "time is no moment between 1970 and 2200"
_VALUE = "a number is infinite"


class External(NamedTuple):
    """What is to be read: the name of the source, {role: column} with the roles item, user, time; and the files."""

    name: str
    columns: Mapping[str, str]
    origins: list[Origin]


def ingest_external(write: Write, source: External) -> SourceReport:
    """Take all files of an external table; called inside the transaction.

    Raises
    ------
    BadColumn : a column is missing, or can be no value.
    """
    start = time.perf_counter()
    rows = stored = 0
    bad: Counter[str] = Counter()
    for origin in source.origins:
        part = write.foreign.open(origin, text=lambda name: name in source.columns.values())
        plan = _Plan(write, source, part)
        sink = ExternalSink(write.cursor, source.name, plan.keyed, plan.kinds)
        quarantined = plan.read(sink, rows)
        rows += sink.taken + quarantined.total()
        stored += sink.finish(at=write.at)
        bad += quarantined
    return SourceReport(
        source=source.name,
        rows=rows,
        stored=stored,
        duplicates=rows - stored - bad.total(),
        quarantined=dict(bad.most_common()),
        seconds=time.perf_counter() - start,
    )


class _Plan:
    """How one file is read."""

    def __init__(self, write: Write, source: External, part: Part) -> None:
        self._write = write
        self._part = part
        self._name = source.name
        roles = _roles(source, part)
        self.keyed: Keyed = "item" if "item" in roles else "user" if "user" in roles else "context"
        self._id = roles.get(self.keyed)
        self._order: OrderPlan | None = None
        if "time" in roles:
            self._order = plan_order(write.foreign, part, roles["time"], "auto", where=source.name)
            if self._order.kind != "timestamp":
                raise BadColumn(
                    f"{source.name}: the column {roles['time']!r} holds no moments",
                    hint="dates, ISO times, or seconds since 1970",
                )
        elif self.keyed == "context":
            raise BadColumn(
                f"{source.name}: nothing leads to a row: no column is taken for item, user or time",
                hint=f"map one in `columns`: {what_is_there('time', list(part.columns))}",
            )
        self.kinds: dict[str, ColumnKind] = {}
        self._values: dict[str, str] = {}
        for name, kind in part.columns.items():
            found = family(kind)
            if name in roles.values() or found == "null":
                continue
            if found not in _KINDS:
                raise BadColumn(
                    f"{source.name}: the column {name!r} is {kind}, a number or a text was expected",
                    hint="name the columns that are wanted in a `query`",
                )
            self.kinds[name] = _KINDS[found]
            self._values[name] = _value(name, found)
        if not self.kinds:
            raise BadColumn(f"{source.name}: no column holds a value", hint="beside item, user and time")

    def read(self, sink: ExternalSink, before: int) -> Counter[str]:
        """Hand all good rows to the sink; returns the others by reason."""
        select = {f"v{at}": expression for at, expression in enumerate(self._values.values())}
        if self._id is not None:
            select["id"] = f"CAST({compose.id_text(self._id, family(self._part.columns[self._id]))} AS VARCHAR)"
        if self._order is not None:
            select["time"] = self._order.expression
        bad: list[npt.NDArray[np.int64]] = []
        reasons: list[str] = []
        done = 0
        for batch in self._write.foreign.stream(select, rows=1 << 17):
            why, times = self._screened(batch)
            wrong = np.flatnonzero(why)
            bad.append(wrong + done + 1)
            reasons += [(_ID, _TIME, _VALUE)[code - 1] for code in why[wrong].tolist()]
            good = pa.array(np.flatnonzero(why == 0))
            sink.add(
                batch["id"].take(good) if self._id is not None else None,
                times.take(good) if times is not None else None,
                {name: batch[f"v{at}"].take(good) for at, name in enumerate(self._values)},
            )
            done += batch.num_rows
            self._write.tell("table", before + done)
        rows = np.concatenate(bad) if bad else np.empty(0, dtype=np.int64)
        return self._write.quarantine.take(self._write.foreign, self._part, self._name, rows, reasons)

    def _screened(self, batch: pa.RecordBatch) -> tuple[npt.NDArray[np.uint8], Any]:
        """Say of every row why it is bad (0 = it is good), and when it begins to hold."""
        why = np.zeros(batch.num_rows, dtype=np.uint8)
        for at, name in enumerate(self._values):
            if self.kinds[name] == "number":
                why[np.isinf(batch[f"v{at}"].to_numpy(zero_copy_only=False).astype(np.float64))] = 3
        times = None
        if self._order is not None:
            moments, wrong = self._order.read(batch["time"])
            why[wrong] = 2
            times = pa.array(moments)
        if self._id is not None:
            encoded = batch["id"].dictionary_encode(null_encoding="encode")
            draft: Draft = self._write.users if self.keyed == "user" else self._write.items
            why[~draft.fit(encoded.dictionary.to_pylist())[encoded.indices.to_numpy()]] = 1
        return why, times


def _value(name: str, found: Family) -> str:
    """Read a value as a DOUBLE or as text: moments as seconds since 1970."""
    if found == "text":
        return compose.trimmed_text(name)
    if found == "timestamp":
        return f"CAST({compose.text_time(name, found)} AS DOUBLE) / 1000000"
    return compose.attribute_value(compose.quoted(name), "number", found)


def _roles(source: External, part: Part) -> dict[str, str]:
    """Find the columns of item, user and time: as told, else by their names; one of item and user at most."""
    roles: dict[str, str] = {}
    plain = {name.lower(): name for name in part.columns}
    for role, names in _NAMES.items():
        told = source.columns.get(role)
        if told is not None and told not in part.columns:
            raise BadColumn(
                f"{source.name}: has no column {told!r} for {role}", hint=what_is_there(told, list(part.columns))
            )
        other = role != "time" and bool({"item", "user"} & set(source.columns))
        guess = None if other else next((plain[name] for name in names if name in plain), None)
        if told or guess:
            roles[role] = str(told or guess)
    if {"item", "user"} <= set(roles):
        raise BadColumn(
            f"{source.name}: the columns {roles['item']!r} and {roles['user']!r} could both lead to a row",
            hint="say which one in `columns`, and leave the other out by a `query`",
        )
    return roles
