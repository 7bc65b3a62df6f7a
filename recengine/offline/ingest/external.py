"""Read external tables (holidays, weather, prices): what leads to a row, bad rows aside, values to the store.

Part of the ingest stage. An item, a user, or nothing but a time leads to a row; every other column is a value, a number
or a label, that holds from the row's time on, or from now on where there is none.
"""

import time
from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recengine.errors import BadColumn
from recengine.offline.ingest.cleaning import clock_repairs
from recengine.offline.ingest.expectations import Screening
from recengine.offline.ingest.order import OrderPlan, plan_order
from recengine.offline.ingest.roles import what_is_there
from recengine.offline.ingest.write import Aside, SourceReport, Write
from recengine.store import compose
from recengine.store.files import Part
from recengine.store.kinds import Family, family
from recengine.store.origins import Origin
from recengine.store.tables import ColumnKind, ExternalSink, Keyed, externals
from recengine.store.vocab import Draft
from recengine.types import I16

__all__ = ("External", "external_roles", "ingest_external")

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
_OWN = (
    "item or user is missing or not an id",
    "time is no moment between 1970 and 2200",
    "a value is no finite number",
)
"""Why a row is bad in itself; counted from 1."""


class External(NamedTuple):
    """What is to be read: the name of the source, {role: column} with the roles item, user, time; and the files."""

    name: str
    columns: Mapping[str, str]
    origins: list[Origin]


def ingest_external(write: Write, source: External, screening: Screening) -> SourceReport:
    """Take all files of an external table; called inside the transaction.

    Raises
    ------
    BadColumn : a column is missing, or can be no value.
    """
    start = time.perf_counter()
    rows = stored = 0
    bad: Counter[str] = Counter()
    repaired = Counter(screening.repaired)
    for file, origin in enumerate(source.origins):
        roles = external_roles(source, write.foreign.open(origin))
        part = write.foreign.open(origin, text=set(roles.values()).__contains__)
        write.foreign.clip(part, screening.clip(file))
        plan = _Plan(write, source, part, screening.numbers)
        repaired += plan.repaired
        sink = ExternalSink(write.cursor, source.name, plan.keyed, plan.kinds)
        quarantined = plan.read(sink, rows, screening.aside(file))
        rows += sink.taken + quarantined.total()
        stored += sink.finish(at=write.at)
        bad += quarantined
    return SourceReport(
        source=source.name,
        rows=rows,
        stored=stored,
        duplicates=rows - stored - bad.total(),
        quarantined=dict(bad.most_common()),
        repaired=dict(repaired),
        expectations=screening.results,
        seconds=time.perf_counter() - start,
    )


class _Plan:
    """How one file is read."""

    def __init__(self, write: Write, source: External, part: Part, numbers: AbstractSet[str]) -> None:
        self._write = write
        self._part = part
        self._name = source.name
        roles = external_roles(source, part)
        self.keyed: Keyed = "item" if "item" in roles else "user" if "user" in roles else "context"
        self._id = roles.get(self.keyed)
        self._order: OrderPlan | None = None
        self.repaired: Counter[str] = Counter()
        if "time" in roles:
            self._order = plan_order(write.foreign, part, roles["time"], "auto", where=source.name)
            if self._order.kind != "timestamp":
                raise BadColumn(
                    f"{source.name}: the column {roles['time']!r} holds no moments",
                    hint="dates, ISO times, or seconds since 1970",
                )
            self.repaired = clock_repairs(write, part, roles["time"])
        elif self.keyed == "context":
            raise BadColumn(
                f"{source.name}: nothing leads to a row: no column is taken for item, user or time",
                hint=f"map one in `columns`: {what_is_there('time', list(part.columns))}",
            )
        self.kinds: dict[str, ColumnKind] = {}
        self._values: dict[str, str] = {}
        self._texts: set[str] = set()
        known = externals(write.cursor).get(source.name)
        for name, kind in part.columns.items():
            found = family(kind)
            if name in roles.values() or found == "null":
                continue
            if found not in _KINDS:
                raise BadColumn(
                    f"{source.name}: the column {name!r} is {kind}, a number or a text was expected",
                    hint="name the columns that are wanted in a `query`",
                )
            wanted: ColumnKind | None = "number" if name in numbers else None
            if known is not None and name in known.columns:
                wanted = known.columns[name]
            if (wanted, found) == ("number", "text"):
                self._texts.add(name)
            same = wanted is None or (wanted, found) not in {("number", "text"), ("label", "integer")}
            self.kinds[name] = _KINDS[found] if same else cast("ColumnKind", wanted)
            self._values[name] = _value(name, found, self.kinds[name])
        if not self.kinds:
            raise BadColumn(f"{source.name}: no column holds a value", hint="beside item, user and time")

    def read(self, sink: ExternalSink, before: int, aside: Aside) -> Counter[str]:
        """Hand all good rows to the sink; returns the others by reason, first of all those of `aside`."""
        select = {f"v{at}": expression for at, expression in enumerate(self._values.values())}
        if self._id is not None:
            select["id"] = f"CAST({compose.id_text(self._id, family(self._part.columns[self._id]))} AS VARCHAR)"
        if self._order is not None:
            select["time"] = self._order.expression
        said = (*_OWN, *aside.reasons)
        bad: list[npt.NDArray[np.int64]] = []
        reasons: list[str] = []
        done = 0
        for batch in self._write.foreign.stream(select, rows=1 << 17):
            why, times = self._screened(batch)
            places, codes = aside.within(done, batch.num_rows)
            why[places] = codes + len(_OWN) + 1
            wrong = np.flatnonzero(why)
            bad.append(wrong + done + 1)
            reasons += [said[code - 1] for code in why[wrong].tolist()]
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

    def _screened(self, batch: pa.RecordBatch) -> tuple[I16, Any]:
        """Say of every row why it is bad (0 = it is good), and when it begins to hold."""
        why = np.zeros(batch.num_rows, dtype=np.int16)
        for at, name in enumerate(self._values):
            if self.kinds[name] == "number":
                column = batch[f"v{at}"]
                numbers = column.to_numpy(zero_copy_only=False).astype(np.float64)
                why[np.isinf(numbers)] = 3
                if name in self._texts:
                    why[np.isnan(numbers) & np.asarray(column.is_valid())] = 3
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


def _value(name: str, found: Family, kind: ColumnKind) -> str:
    """Read a value as a DOUBLE or as text: moments as seconds since 1970; NaN = a text that is no number."""
    if kind == "label":
        return compose.trimmed_text(name)
    if found == "text":
        return compose.text_number(name, found)
    if found == "timestamp":
        return f"CAST({compose.text_time(name, found)} AS DOUBLE) / 1000000"
    return compose.attribute_value(compose.quoted(name), "number", found)


def external_roles(source: External, part: Part) -> dict[str, str]:
    """Find the columns of item, user and time: as told, else by their names; one of item and user at most.

    Raises
    ------
    BadColumn : a column is not there, or both an item and a user could lead to a row.
    """
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
