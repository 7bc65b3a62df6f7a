"""The ledger: what was folded from the journal and is not in DuckDB yet; written in batches behind the replies.

Comes in: what each group of frames came to (`Folded`), with rows for ids. Goes out: rows of every table and
`meta.last_seq`, in one transaction, so that after a crash the journal's frames beyond `last_seq` are exactly what is
missing. Why behind: a DuckDB commit of one event costs 2 ms, one of a thousand 8 ms; the journal has made them durable.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from threading import Lock
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa

from recengine.errors import RecEngineError
from recengine.store.catalog import Owner
from recengine.store.cursor import Cursor
from recengine.store.database import Database
from recengine.store.decisions import append_decisions
from recengine.store.events import OrderKind, set_order_kind
from recengine.store.homes import Forgotten
from recengine.store.queries import query
from recengine.store.sequence import last_seq, owe_erase, set_ingests_marked, set_last_seq
from recengine.store.versions import VersionFrame, append_live_versions
from recengine.store.vocab import Name, Vocabularies, Vocabulary, save_ids
from recengine.types import F32, I16, I32, I64
from recengine.types.frames import ConsentFrame, DecisionFrame

__all__ = ("TABLES", "Consents", "Decided", "Folded", "Ingested", "Ledger", "NewEvents", "NewVersions", "Part")


class NewEvents(msgspec.Struct, frozen=True):
    """Events in the order of the journal: columns as in `EventColumns`, and the texts that came with each."""

    seq: I64
    user: I32
    item: I32
    type: I16
    value: F32
    time: I64
    kind: OrderKind
    texts: Sequence[tuple[str | None, str | None, str | None]]
    """(event_id, session_id, request_id)."""


class NewVersions(msgspec.Struct, frozen=True):
    """Versions of items or of users, and whose they are."""

    owner: Owner
    rows: I32
    frames: Sequence[VersionFrame]


class Decided(msgspec.Struct, frozen=True):
    """Replies that were given."""

    frames: Sequence[DecisionFrame]


class Consents(msgspec.Struct, frozen=True):
    """Consents that users gave or took back, with the users' rows."""

    users: Sequence[int]
    frames: Sequence[ConsentFrame]


class Ingested(msgspec.Struct, frozen=True):
    """The frame of an ingest: that it is stored, too, is what a copy is held against (`recovery.py`)."""

    number: int


Part: TypeAlias = NewEvents | NewVersions | Decided | Consents | Ingested | Forgotten


class Folded(msgspec.Struct, frozen=True):
    """What a group of frames came to. `seq` is that of its last frame."""

    seq: int
    parts: tuple[Part, ...]


class Batch(msgspec.Struct, frozen=True):
    """What one transaction writes."""

    seq: int
    names: tuple[tuple[Name, int, list[str]], ...]
    """(table, first row, ids)."""
    parts: tuple[Part, ...]


class Ledger:
    """Collects and writes. `add` and `settled` are called by the fold only; `flush` by any thread.

    Parameters
    ----------
    seq : of the last frame in the database.
    """

    def __init__(self, database: Database, ids: Vocabularies, seq: int) -> None:
        self._database = database
        self._ids = ids
        self._mine = Lock()  # guards what waits
        self._writing = Lock()  # one flush at a time, in order
        self._parts: list[Part] = []
        self._seq = self.stored = seq
        """`stored`: the last frame that is in the database."""
        self._saved: dict[Name, int] = {}
        self.settled()

    @property
    def behind(self) -> int:
        """Frames that wait."""
        return self._seq - self.stored

    def add(self, folded: Folded) -> None:
        """Take what a group came to."""
        with self._mine:
            self._parts += folded.parts
            self._seq = folded.seq

    def settled(self) -> None:
        """Note that all ids in memory are in the database: at the opening and after an ingest."""
        self._saved = {"user_ids": len(self._ids.users), "item_ids": len(self._ids.items)}
        self._saved["event_types"] = len(self._ids.types)

    def flush(self) -> int:
        """Write what waits and return the last frame that is in the database.

        Raises
        ------
        StoreFailed : the database cannot write; all of it waits on.
        """
        with self._writing:
            batch = self._take()
            if batch is not None:
                try:
                    self._database.write(lambda cursor: _write(cursor, batch))
                except BaseException:
                    # A commit can be durable and still raise, when the checkpoint behind it meets a full disk.
                    if self._stored() < batch.seq:
                        self._put_back(batch)
                        raise
                self.stored = batch.seq
            return self.stored

    def _take(self) -> Batch | None:
        with self._mine:
            if self._seq == self.stored and not self._parts:
                return None
            names = []
            for table, ids in self._vocabularies():
                new = ids.since(self._saved[table])
                if new:
                    names.append((table, self._saved[table], new))
                    self._saved[table] += len(new)
            batch = Batch(self._seq, tuple(names), tuple(self._parts))
            self._parts = []
            return batch

    def _put_back(self, batch: Batch) -> None:
        with self._mine:
            self._parts = [*batch.parts, *self._parts]
            for table, first, _ in batch.names:
                self._saved[table] = first

    def _stored(self) -> int:
        try:
            return last_seq(self._database.read())
        except RecEngineError:  # the error that made us ask is raised instead
            return -1

    def _vocabularies(self) -> Iterable[tuple[Name, Vocabulary]]:
        ids = self._ids
        return (("user_ids", ids.users), ("item_ids", ids.items), ("event_types", ids.types))


def _write(cursor: Cursor, batch: Batch) -> None:
    for table, first, ids in batch.names:
        save_ids(cursor, table, first, ids)
    for kind, parts in groupby(batch.parts, type):
        same: Any = list(parts)
        if kind is NewEvents:
            _append_events(cursor, same)
        elif kind is NewVersions:
            for part in same:
                append_live_versions(cursor, part.owner, part.rows, part.frames)
        elif kind is Decided:
            append_decisions(cursor, [frame for part in same for frame in part.frames])
        elif kind is Consents:
            _append_consents(cursor, same)
        elif kind is Ingested:
            set_ingests_marked(cursor, same[-1].number)
        else:
            for part in same:
                _forget(cursor, part)
            owe_erase(cursor, batch.seq)
    set_last_seq(cursor, batch.seq)


def _append_events(cursor: Cursor, parts: Sequence[NewEvents]) -> None:
    set_order_kind(cursor, parts[0].kind, where="events")
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("seq", "user", "item", "type", "value", "time")
    }
    texts = [text for part in parts for text in part.texts]
    for at, name in enumerate(("event_id", "session_id", "request_id")):
        columns[name] = pa.array([text[at] for text in texts], pa.string())
    with cursor.registered("event_batch", pa.table(columns)):
        cursor.execute(query("store/append_events"))
        cursor.execute(query("store/append_event_ids"))


def _append_consents(cursor: Cursor, parts: Sequence[Consents]) -> None:
    frames = [frame for part in parts for frame in part.frames]
    rows = [user for part in parts for user in part.users]
    table = pa.table(
        {
            "user": pa.array(rows, pa.int32()),
            "purpose": pa.array([frame.purpose for frame in frames], pa.string()),
            "granted": pa.array([frame.granted for frame in frames], pa.bool_()),
            "at": pa.array([frame.at for frame in frames], pa.int64()),
        }
    )
    with cursor.registered("consent_batch", table):
        cursor.execute(query("store/append_consents"))


def _forget(cursor: Cursor, part: Forgotten) -> None:
    if part.user < 0:
        for name in _BY_NAME:
            cursor.execute(query(f"store/forget_{name}"), {"name": part.name})
        return
    cursor.execute(query("store/keep_last_event"))
    cursor.execute(query("store/forget_unnamed_decisions"), {"user": part.user})
    cursor.execute(query("store/forget_sessions"), {"sessions": list(part.sessions)})
    for name in TABLES:
        cursor.execute(query(f"store/forget_{name}"), {"name": part.name} if name in _BY_NAME else {"user": part.user})


TABLES = ("event_ids", "events", "user_versions", "consents", "decisions", "external_values", "timelines", "user_ids")
"""Tables that hold what a user did, was or was shown, in the order in which they forget."""
_BY_NAME = ("decisions", "external_values")
"""Those that may hold something of one who has no row."""
