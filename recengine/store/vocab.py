"""Vocabularies: the only bridge between ids (str, at the doors) and rows (dense int32, inside).

Rows are given in the order of first sight and never change. A `Vocabulary` is read by many threads while one ingest
appends to it: readers see either the old or the new length, never a half. A `Draft` collects what an ingest adds, and
is kept only once committed.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from recengine.errors import EngineFault
from recengine.store.cursor import Cursor
from recengine.store.database import Database
from recengine.store.queries import query
from recengine.types import I32, I64, Bools

__all__ = ("MAX_ID_BYTES", "Draft", "Vocabularies", "Vocabulary", "load_vocabularies", "valid_id")

MAX_ID_BYTES = 256
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
Name = Literal["user_ids", "item_ids", "event_types"]


def valid_id(text: str) -> bool:
    """Say whether `text` may be an id: 1 to 256 bytes of UTF-8 without control characters."""
    return bool(text) and not _CONTROL.search(text) and len(text.encode()) <= MAX_ID_BYTES


class Vocabulary:
    """Ids <-> rows in memory. A look-up costs about 0.1 us.

    Parameters
    ----------
    ids : in row order.
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._ids: list[str] = list(ids)
        self._rows: dict[str, int] = {name: row for row, name in enumerate(self._ids)}

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def row(self, name: str) -> int:
        """Look up one id; -1 = unknown."""
        return self._rows.get(name, -1)

    def rows(self, names: Sequence[str]) -> I32:
        """Look up many ids; int32 (n,), -1 = unknown."""
        look_up = self._rows.get
        return np.fromiter((look_up(name, -1) for name in names), dtype=np.int32, count=len(names))

    def id(self, row: int) -> str:
        """Name one row."""
        if not 0 <= row < len(self._ids):
            raise EngineFault(f"row {row} of a vocabulary of {len(self._ids)}", hint="please report this")
        return self._ids[row]

    def ids(self, rows: I32) -> list[str]:
        """Name many rows, each in 0 .. len - 1."""
        names = self._ids
        if len(rows) and (int(rows.min()) < 0 or int(rows.max()) >= len(names)):
            raise EngineFault(
                f"rows {rows.min()} to {rows.max()} of a vocabulary of {len(names)}", hint="please report this"
            )
        return [names[row] for row in rows.tolist()]

    def extend(self, names: Sequence[str]) -> None:
        """Append ids that are not yet in it, once their rows are committed."""
        start = len(self._ids)
        self._ids.extend(names)  # first the names, so that a row that is found can be named
        self._rows.update({name: start + k for k, name in enumerate(names)})


class Draft:
    """A vocabulary and what one write adds to it, seen only by that write.

    Parameters
    ----------
    base : the committed vocabulary.
    table : where additions are kept.
    """

    def __init__(self, base: Vocabulary, table: Name) -> None:
        self.added: list[str] = []
        self._base = base
        self._table: Name = table
        self._rows: dict[str, int] = {}
        self._saved = 0

    def __len__(self) -> int:
        return len(self._base) + len(self.added)

    def name(self, row: int) -> str:
        """Name one row, committed or new."""
        return self._base.id(row) if row < len(self._base) else self.added[row - len(self._base)]

    def fit(self, names: Sequence[str | None]) -> Bools:
        """Say which ids may be kept; bool (n,)."""
        known, mine = self._base, self._rows
        fits = (name is not None and (name in mine or name in known or valid_id(name)) for name in names)
        return np.fromiter(fits, dtype=np.bool_, count=len(names))

    def rows(self, names: Sequence[str]) -> I32:
        """Look up ids that fit, giving new ones the next rows; int32 (n,)."""
        found, mine, added = self._base.row, self._rows, self.added
        start = len(self._base)
        out = np.empty(len(names), dtype=np.int32)
        for k, name in enumerate(names):
            row = found(name)
            if row < 0:
                row = mine.get(name, -1)
                if row < 0:
                    row = mine[name] = start + len(added)
                    added.append(name)
            out[k] = row
        return out

    def encoded(self, positions: I64, names: Sequence[str | None]) -> I32:
        """Look up `names[positions]`, which all fit; only ids that are pointed to are added. int32 like `positions`."""
        used = np.zeros(len(names), dtype=np.bool_)
        used[positions] = True
        rows = np.full(len(names), -1, dtype=np.int32)
        kept = [name for name, wanted in zip(names, used.tolist(), strict=True) if wanted and name is not None]
        rows[used] = self.rows(kept)
        return np.asarray(rows[positions], dtype=np.int32)

    def save(self, cursor: Cursor) -> int:
        """Append what is new to the database within the running transaction; returns how many."""
        fresh = self.added[self._saved :]
        if fresh:
            start = len(self._base) + self._saved
            code = np.int16 if self._table == "event_types" else np.int32
            frame = pa.table(
                {"row": np.arange(start, start + len(fresh), dtype=code), "id": pa.array(fresh, pa.string())}
            )
            with cursor.registered("new_ids", frame):
                cursor.execute(query(f"store/append_{self._table}"))
            self._saved = len(self.added)
        return len(fresh)

    def keep(self) -> None:
        """Make the additions visible to everyone; call after the commit."""
        self._base.extend(self.added)


class Vocabularies:
    """The three vocabularies of a store.

    Parameters
    ----------
    users, items, types : rows of users, rows of items, codes of event types.
    """

    def __init__(self, users: Vocabulary, items: Vocabulary, types: Vocabulary) -> None:
        self.users = users
        self.items = items
        self.types = types


def load_vocabularies(database: Database) -> Vocabularies:
    """Read all ids into memory. Cost: about 0.3 us and 150 bytes an id."""
    cursor = database.read()
    tables: tuple[Name, ...] = ("user_ids", "item_ids", "event_types")
    users, items, types = (Vocabulary(cursor.table(query(f"store/read_{table}"))["id"].to_pylist()) for table in tables)
    return Vocabularies(users, items, types)
