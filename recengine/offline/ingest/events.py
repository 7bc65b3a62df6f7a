"""Read event files: map columns, set bad rows aside, give ids their rows, and hand the rest to the store.

Part of the ingest stage. Batches of about a million rows; ids are encoded once a distinct id and batch,
not once a row.
"""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recengine.errors import BadColumn
from recengine.offline.ingest.cleaning import (
    UserCounts,
    clipped,
    clock_repairs,
    machine_aside,
    search_machines,
    value_bounds,
)
from recengine.offline.ingest.expectations import Screening
from recengine.offline.ingest.ids import IdReader
from recengine.offline.ingest.order import OrderPlan, plan_order
from recengine.offline.ingest.roles import find_roles
from recengine.offline.ingest.write import SourceReport, Write
from recengine.store import compose
from recengine.store.events import EventSink, set_order_kind, span
from recengine.store.files import Part
from recengine.store.kinds import family
from recengine.store.origins import Origin
from recengine.store.screening import count_orphans, stage_repeats, unstage_repeats
from recengine.store.vocab import MAX_ID_BYTES
from recengine.types import I16

__all__ = ("MAX_TYPES", "MAX_VALUE", "ingest_events")

MAX_VALUE = 1e9
BATCH = 1 << 17
"""Rows mapped at a time: their columns stay in the caches (a million at once took 1.5 times as long)."""
MAX_TYPES = 1_000
"""More distinct event types than this mean that another column was mapped."""

_REASONS = (
    "",
    "order is missing, or no moment between 1970 and 2200",
    "value is not a finite number up to 1e9",
    "type is missing or not a name",
    "user is missing or not an id",
    "item is missing or not an id",
    f"event_id, session_id or request_id is longer than {MAX_ID_BYTES} bytes",
)
_ORDER, _VALUE, _TYPE, _USER, _ITEM, _EXTRA, _EARLY, _LATE, _ASIDE = range(1, 10)
_EXTRAS = ("event_id", "session_id", "request_id")
_REFUSED = {"bool", "struct", "texts", "integers", "floats", "array", "other"}


def ingest_events(write: Write, origins: list[Origin], screening: Screening) -> SourceReport:
    """Take all files of the source `events`; called inside the transaction.

    Raises
    ------
    MachinesFound : some of them were made by machines: begin anew, and pass over those.
    """
    start = time.perf_counter()
    before = len(write.users.added), len(write.items.added), len(write.types.added)
    first = span(write.cursor).last_seq + 1
    total = _Totals(value_bounds(write, origins))
    total.repaired.update(screening.repaired)
    stage_repeats(write.cursor)
    for file, origin in enumerate(origins):
        _File(write, origin, total, screening, file).run()
    search_machines(write, total.users, first)
    unstage_repeats(write.cursor)
    return SourceReport(
        source="events",
        rows=total.rows,
        stored=total.stored,
        duplicates=total.taken - total.stored,
        quarantined=dict(total.bad.most_common()),
        new_users=len(write.users.added) - before[0],
        new_items=len(write.items.added) - before[1],
        new_types=len(write.types.added) - before[2],
        unknown_types={name: n for name, n in sorted(total.types.items()) if name not in write.configured},
        repaired=dict(total.repaired),
        expectations=screening.results,
        orphans=count_orphans(write.cursor, first) if total.stored else 0,
        seconds=time.perf_counter() - start,
    )


class _Totals:
    """What all files of the source have in common."""

    def __init__(self, bounds: Mapping[str | None, tuple[float, float]]) -> None:
        self.bounds = bounds
        """Event type -> between what its values are clipped."""
        self.users = UserCounts()
        self.rows = self.taken = self.stored = 0
        self.bad: Counter[str] = Counter()
        self.repaired: Counter[str] = Counter()
        self.types: Counter[str] = Counter()


class _File:
    """One file (or frame) of events."""

    def __init__(self, write: Write, origin: Origin, total: _Totals, screening: Screening, file: int) -> None:
        self._write = write
        self._total = total
        self._where = f"events {origin.label}" if origin.label != "events" else "events"
        self._part: Part = write.foreign.open(origin, text=lambda _: True)
        write.foreign.clip(self._part, screening.clip(file))
        columns = self._part.columns
        self._roles = find_roles("events", list(columns), write.columns, where=self._where, alone=True)
        for role, column in self._roles.items():
            if family(columns[column]) in _REFUSED:
                raise BadColumn(
                    f"{self._where}: the column {column!r} for {role} is {columns[column]}", hint="map another column"
                )
        self._order: OrderPlan | None = None
        if "order" in self._roles:
            self._order = plan_order(
                write.foreign, self._part, self._roles["order"], write.order_unit, where=self._where
            )
        set_order_kind(write.cursor, self._order.kind if self._order else "integer", where=self._where)
        default = "rating" if "value" in self._roles else "interaction"
        self._default = default
        self._timed = self._order is not None and self._order.kind == "timestamp"
        if self._timed:
            total.repaired += clock_repairs(write, self._part, self._roles["order"])
        self._aside = screening.aside(file).and_then(machine_aside(write, self._part, self._roles, self._order))
        self._reasons = (*_REASONS, *(f"moment {why}" for why in write.possible[-2:]), *self._aside.reasons)
        drafts = {"user": write.users, "item": write.items, "type": write.types}
        self._ids = {role: IdReader(draft) for role, draft in drafts.items() if role in self._roles}

    def run(self) -> None:
        """Read, screen, map and store."""
        write, total = self._write, self._total
        window = self._order.window if self._order else None
        repeat = round(write.cleaning.repeat_seconds * 1e6) if self._timed else 0
        sink = EventSink(
            write.cursor,
            window=window,
            ids="event_id" in self._roles,
            ordered=self._order is not None,
            repeat=repeat,
        )
        bad_rows: list[npt.NDArray[np.int64]] = []
        bad_reasons: list[I16] = []
        done = 0
        for batch in write.foreign.stream(self._select(), rows=BATCH):
            reason = np.zeros(batch.num_rows, dtype=np.int16)
            places, codes = self._aside.within(done, batch.num_rows)
            reason[places] = codes + np.int16(_ASIDE)
            columns = self._map(batch, reason)
            bad = np.flatnonzero(reason)
            if len(bad):
                bad_rows.append(bad + done + 1)
                bad_reasons.append(reason[bad])
            if self._timed:
                total.users.add(columns["user"])
            sink.add(columns)
            done += batch.num_rows
            write.tell("events", total.rows + done)
        rows = np.concatenate(bad_rows) if bad_rows else np.empty(0, dtype=np.int64)
        reasons = [self._reasons[code] for code in np.concatenate(bad_reasons)] if bad_reasons else []
        quarantined = write.quarantine.take(write.foreign, self._part, "events", rows, reasons)
        for draft in (write.users, write.items, write.types):
            draft.save(write.cursor)
        total.stored += sink.finish(at=write.at)
        if sink.repeated:
            seconds = f"{write.cleaning.repeat_seconds:g} seconds"
            total.repaired[f"the same user, item and type again within {seconds}: a duplicate"] += sink.repeated
        total.taken += sink.taken
        total.rows += sink.taken + quarantined.total()
        total.bad += quarantined

    def _select(self) -> dict[str, str]:
        columns, roles = self._part.columns, self._roles
        wanted = {role: compose.id_text(roles[role], family(columns[roles[role]])) for role in ("user", "item")}
        if "type" in roles:
            wanted["type"] = f"CAST({compose.quoted(roles['type'])} AS VARCHAR)"
        if "value" in roles:
            wanted["value"] = compose.text_number(roles["value"], family(columns[roles["value"]]))
        if self._order is not None:
            wanted["order"] = self._order.expression
        return wanted | {role: compose.trimmed_text(roles[role]) for role in _EXTRAS if role in roles}

    def _map(self, batch: pa.RecordBatch, reason: I16) -> dict[str, Any]:
        """Turn a batch into the columns of the good rows; `reason` says of every row why not (0 = good)."""
        out: dict[str, Any] = {}
        if self._order is not None:
            out["time"], bad = self._order.read(batch["order"])
            reason[bad & (reason == 0)] = _ORDER
        if self._timed:
            possible = self._write.possible
            for bad, code in (
                (out["time"] < possible.earliest, _EARLY),
                (out["time"] > self._write.at + possible.ahead, _LATE),
            ):
                if bad.any():
                    reason[bad & (reason == 0)] = code
        out["value"] = np.full(batch.num_rows, np.nan, dtype=np.float32)
        if "value" in self._roles:
            out["value"], bad = _values(batch["value"])
            reason[bad & (reason == 0)] = _VALUE
        for role in _EXTRAS:
            if role in self._roles:
                out[role] = batch[role].cast(pa.string())
                if (pc.max(pc.binary_length(out[role])).as_py() or 0) > MAX_ID_BYTES:
                    reason[np.asarray(pc.binary_length(out[role]).fill_null(0)) > MAX_ID_BYTES] = _EXTRA
        return self._rows(batch, out, reason)

    def _rows(self, batch: pa.RecordBatch, out: dict[str, Any], reason: I16) -> dict[str, Any]:
        """Give ids their rows. Ids are added only for kept rows, so a batch with bad rows is screened first."""
        for role, code in (("user", _USER), ("item", _ITEM), ("type", _TYPE)):
            unfit = self._ids[role].unfit(batch[role]) if role in self._ids else None
            if unfit is not None:
                reason[unfit & (reason == 0)] = code
        good = None if not reason.any() else np.flatnonzero(reason == 0)
        if good is not None:
            out = {
                name: column.take(pa.array(good)) if isinstance(column, pa.Array) else column[good]
                for name, column in out.items()
            }
        n = batch.num_rows if good is None else len(good)
        out |= {role: reader.rows(good) for role, reader in self._ids.items()}
        types = self._write.types
        if "type" not in self._roles:
            out["type"] = np.full(n, types.rows([self._default])[0] if n else 0, dtype=np.int32)
        out["type"] = (
            out["type"].astype(np.int16) if len(types) <= MAX_TYPES else _too_many(self._roles.get("type"), self._where)
        )
        if "type" not in self._roles:
            self._total.types[self._default] += n
        else:
            counts = np.bincount(out["type"], minlength=len(types))
            self._total.types.update({types.name(code): int(counts[code]) for code in np.flatnonzero(counts).tolist()})
        if self._total.bounds and "value" in self._roles:
            self._clip(out)
        return out

    def _clip(self, out: dict[str, Any]) -> None:
        """Clip the values of a batch to what is usual for their types."""
        names = [self._write.types.name(code) for code in range(len(self._write.types))]
        key = {name: name if "type" in self._roles else None for name in names}
        wide = (-np.inf, np.inf)
        low, high = np.array([self._total.bounds.get(key[name], wide) for name in names], dtype=np.float32).T
        out["value"], changed = clipped(out["value"], out["type"], low, high)
        if changed:
            share = self._write.cleaning.clip_values
            self._total.repaired[f"value outside the quantiles {share:g} and {1 - share:g}: clipped"] += changed


def _too_many(column: str | None, where: str) -> npt.NDArray[np.int16]:
    raise BadColumn(
        f"{where}: the column {column!r} has more than {MAX_TYPES:,} event types", hint="map another column to type"
    )


def _values(column: pa.Array) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    missing = np.asarray(column.is_null()) if column.null_count else None
    raw = (column.fill_null(0.0) if column.null_count else column).to_numpy()
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(raw) <= MAX_VALUE)
    values = np.where(bad, 0.0, raw).astype(np.float32) if bad.any() else raw.astype(np.float32)
    if missing is not None:
        values[missing] = np.nan
    return values, bad
