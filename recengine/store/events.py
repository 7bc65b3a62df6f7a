"""Events in the store: read as columns for training and serving, appended by ingest.

The table has no key and no index, so equality is decided set-wise when a source is appended: by `event_id` where it is
given, else by content (user, item, type, value, time and which of the equal ones), or, for sources without an order
column, by a fingerprint of the source.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recengine.errors import BadColumn
from recengine.store.cursor import Cursor
from recengine.store.database import Database
from recengine.store.queries import query
from recengine.types import I32, I64, MICROSECONDS_FROM, EventColumns

__all__ = (
    "EventSink",
    "OrderKind",
    "Span",
    "order_kind",
    "read_events",
    "read_session_events",
    "recent_event_ids",
    "repeated_events",
    "set_order_kind",
    "span",
)

OrderKind = Literal["timestamp", "integer"]
CHUNK = 1 << 20
"""Rows an INSERT takes: several row groups, so that DuckDB's threads share it."""
_TEXTS = ("event_id", "session_id", "request_id")


def read_events(
    database: Database, *, as_of: int | None = None, users: I32 | None = None, after: int = -1
) -> EventColumns:
    """Read events, ordered by (user, time, seq).

    Parameters
    ----------
    as_of : nothing later than this; None = all.
    users : int32 rows of the users wanted; None = all.
    after : only events with a higher `seq`: what was appended since.

    Cost: about 0.3 us an event, most of it the sort.
    """
    cursor = database.read()
    params = {"as_of": as_of, "after": after}
    if users is None:
        table = cursor.table(query("store/read_events"), params)
    else:
        table = cursor.table(query("store/read_events_of"), {**params, "users": users.tolist()})
    return _columns(table, cursor)


def read_session_events(database: Database, *, since: int, most: int) -> tuple[list[str], EventColumns]:
    """Read all events of the latest sessions, in the order in which they came, and the sessions of each.

    Parameters
    ----------
    since : microseconds; sessions without an event from then on are left out. Orders that are no times end none.
    most : sessions.

    Cost: a pass over the events that have any text beside them.
    """
    cursor = database.read()
    params = {"since": since, "times_from": MICROSECONDS_FROM, "most": most}
    table = cursor.table(query("store/read_session_events"), params)
    return table["session_id"].to_pylist(), _columns(table, cursor)


def _columns(table: pa.Table, cursor: Cursor) -> EventColumns:
    types = tuple(cursor.table(query("store/read_event_types"))["id"].to_pylist())
    return EventColumns(
        seq=_column(table, "seq", np.int64),
        user=_column(table, "user", np.int32),
        item=_column(table, "item", np.int32),
        type=_column(table, "type", np.int16),
        value=_column(table, "value", np.float32),
        time=_column(table, "time", np.int64),
        types=types,
    )


def _column(table: pa.Table, name: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.ascontiguousarray(table[name].to_numpy(), dtype=dtype)


def recent_event_ids(database: Database, limit: int, *, after: int = -1) -> list[str]:
    """List the ids of the latest events with a number above `after` that have one, oldest first."""
    params = {"limit": limit, "after": after}
    found = database.read().table(query("store/read_recent_event_ids"), params)["event_id"].to_pylist()
    return list(reversed(found))


def repeated_events(database: Database) -> I64:
    """List the numbers of events whose id an earlier one has; int64.

    The door remembers the latest ids only; whoever learns passes these over, so that an id counts once for ever.
    """
    return np.asarray(database.read().table(query("store/read_repeated_events"))["seq"].to_numpy())


def order_kind(cursor: Cursor) -> OrderKind | None:
    """Tell what `time` means in this store; None before the first event."""
    found = cursor.rows(query("store/read_meta"), {"key": "order_kind"})
    return found[0][0] if found else None


def set_order_kind(cursor: Cursor, kind: OrderKind, *, where: str) -> None:
    """Remember what `time` means, or hold to it.

    Raises
    ------
    BadColumn : the store holds the other kind.
    """
    known = order_kind(cursor)
    if known is None:
        cursor.execute(query("store/insert_meta"), {"key": "order_kind", "value": kind})
    elif known != kind:
        word = {"timestamp": "timestamps", "integer": "integers (or file order)"}
        raise BadColumn(
            f"{where}: its events are ordered by {word[kind]}, those in the store by {word[known]}",
            hint="give the order in the same form, or set the unit of a numeric order column",
        )


@dataclass(frozen=True)
class Span:
    """What is stored: number of events, first and last time (0 where there are none), last seq (-1)."""

    events: int
    first: int
    last: int
    last_seq: int


def span(cursor: Cursor) -> Span:
    """Survey the stored events. Cost: a scan of two columns' statistics."""
    events, first, last, last_seq = cursor.row(query("store/event_span"))
    return Span(events, first or 0, last or 0, last_seq)


class EventSink:
    """Takes the batches of one source within one transaction; keeps what is new.

    Parameters
    ----------
    cursor : of the running write.
    window : first and last time of the source, where known; a source that lies wholly before or after the stored events
        needs no comparison.
    ids : some rows may carry an event_id.
    ordered : the source has an order column; else its rows continue after the stored ones and its content is
        fingerprinted.
    repeat : an event of the same user, item and type so many microseconds after another is passed over, and
        noted as `screening.stage_repeats` made room for; 0 = none is.
    """

    def __init__(
        self, cursor: Cursor, *, window: tuple[int, int] | None, ids: bool, ordered: bool, repeat: int = 0
    ) -> None:
        self._cursor = cursor
        self._ordered = ordered
        stored = span(cursor)
        self.first_seq = stored.last_seq + 1
        self.first_time = stored.last + 1 if stored.events else 0
        apart = not stored.events or (window is not None and (window[0] > stored.last or window[1] < stored.first))
        if ordered:
            self._direct = apart and not ids and not repeat
        else:
            self._direct = cursor.row(query("store/count_sources"))[0] == 0 and not ids
        self._prints = [hashlib.blake2b(digest_size=16) for _ in range(5 if ids else 4)]
        self._ids = ids
        self._texts = False
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._repeat = repeat
        self.taken = 0
        self.repeated = 0
        """Passed over as repeats; known once all is finished."""
        if not self._direct:
            cursor.execute(query("store/stage_events"))

    def add(self, batch: dict[str, npt.NDArray[Any] | pa.Array]) -> None:
        """Take one batch: `user`, `item` int32, `type` int16, `value` float32, `time` int64 (if ordered), Arrow ids."""
        n = len(batch["user"])
        if n == 0:
            return
        seq = np.arange(self.first_seq + self.taken, self.first_seq + self.taken + n, dtype=np.int64)
        columns: dict[str, Any] = {"seq": seq, **batch}
        if not self._ordered:
            columns["time"] = np.arange(self.first_time + self.taken, self.first_time + self.taken + n, dtype=np.int64)
            for digest, name in zip(self._prints[:4], ("user", "item", "type", "value"), strict=True):
                digest.update(np.ascontiguousarray(columns[name]).data)
            if self._ids:  # the same content under other ids is another source
                names = columns["event_id"].to_pylist()
                self._prints[4].update("".join(f"{name or ''}\0" for name in names).encode())
        self._texts |= any(name in columns for name in _TEXTS)
        if self._texts or not self._direct:
            columns = {name: pa.nulls(n, pa.string()) for name in _TEXTS} | columns
        self._waiting.append(pa.record_batch(columns))
        self._rows += n
        self.taken += n
        if self._rows >= CHUNK:
            self._pour()

    def _pour(self) -> None:
        if not self._waiting:
            return
        with self._cursor.registered("event_batch", pa.Table.from_batches(self._waiting)):
            self._cursor.execute(query("store/append_events" if self._direct else "store/fill_staged_events"))
            if self._texts and self._direct:
                self._cursor.execute(query("store/append_event_ids"))
        self._waiting, self._rows = [], 0

    def finish(self, *, at: int) -> int:
        """Keep what is new; returns how many events that is. `at` is the moment of the ingest, microseconds."""
        self._pour()
        known = False
        if not self._ordered and self.taken:
            fingerprint = hashlib.blake2b(b"".join(d.digest() for d in self._prints), digest_size=16).hexdigest()
            known = not self._direct and bool(
                self._cursor.row(query("store/known_source"), {"fingerprint": fingerprint})[0]
            )
            if not known:
                self._cursor.execute(
                    query("store/insert_source"), {"fingerprint": fingerprint, "rows": self.taken, "at": at}
                )
        if self._direct:
            return self.taken
        if self._repeat:
            self.repeated = self._cursor.changed(query("store/fill_staged_repeats"), {"within": self._repeat})
            self._cursor.execute(query("store/drop_staged_repeats"))
        kept = 0
        if self._ids and not known:
            kept += self._cursor.changed(query("store/keep_staged_events_by_id"))
        if self._ordered:
            kept += self._cursor.changed(query("store/keep_staged_events_by_content"), {"before": self.first_seq})
        elif not known:
            kept += self._cursor.changed(query("store/keep_staged_events_without_id"))
        if self._texts and kept:
            self._cursor.execute(query("store/keep_staged_event_ids"), {"before": self.first_seq})
        self._cursor.execute(query("store/unstage_events"))
        return kept
