"""Vocabularies: the only bridge between ids (str, at the doors) and rows (dense int32, inside).

Rows are given in the order of first sight and never change. A `Vocabulary` is read by many threads while one ingest
appends to it: readers see either the old or the new length, never a half. A `Draft` collects what an ingest adds, and
is kept only once committed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recengine.errors import EngineFault
from recengine.store.cursor import Cursor
from recengine.store.database import Database
from recengine.store.queries import query
from recengine.types import I32, Bools

__all__ = (
    "FORGOTTEN",
    "MAX_ID_BYTES",
    "Draft",
    "Name",
    "Vocabularies",
    "Vocabulary",
    "load_vocabularies",
    "save_ids",
    "valid_id",
)

MAX_ID_BYTES = 256
FORGOTTEN = ""
"""The name of a row whose user was forgotten; no id is empty."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""C0, C1, line ends, what turns the direction of text (UAX #9) and the byte order mark; half a surrogate pair."""
Name = Literal["user_ids", "item_ids", "event_types"]


def valid_id(text: str) -> bool:
    """Say whether `text` may be an id: 1 to 256 bytes of UTF-8 without control characters (see `_CONTROL`)."""
    if 0 < len(text) <= MAX_ID_BYTES // 4 and text.isprintable():  # the most, at a fifth of the cost
        return True
    return bool(text) and not _CONTROL.search(text) and len(text.encode()) <= MAX_ID_BYTES


class Vocabulary:
    """Ids <-> rows in memory. A look-up costs about 0.1 us.

    Parameters
    ----------
    ids : in row order.
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._ids: list[str] = list(ids)
        self._rows: dict[str, int] = {name: row for row, name in enumerate(self._ids) if name != FORGOTTEN}

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def row(self, name: str) -> int:
        """Look up one id; -1 = unknown."""
        return self._rows.get(name, -1)

    def rows(self, names: Sequence[str]) -> I32:
        """Look up many ids; int32 (n,), -1 = unknown."""
        return np.fromiter(map(self._rows.get, names, repeat(-1)), dtype=np.int32, count=len(names))

    def id(self, row: int) -> str:
        """Name one row."""
        if not 0 <= row < len(self._ids):
            raise EngineFault(f"row {row} of a vocabulary of {len(self._ids)}", hint="please report this")
        return self._ids[row]

    def ids(self, rows: I32) -> list[str]:
        """Name many rows, each in 0 .. len - 1."""
        names, listed = self._ids, rows.tolist()
        if listed and not 0 <= min(listed) <= max(listed) < len(names):
            raise EngineFault(
                f"rows {min(listed)} to {max(listed)} of a vocabulary of {len(names)}", hint="please report this"
            )
        return [names[row] for row in listed]

    def admit(self, names: Sequence[str]) -> list[int]:
        """Look up ids, giving new ones the next rows; for the fold, which is the only writer while no ingest runs."""
        rows = self._rows
        out = []
        for name in names:
            row = rows.get(name, -1)
            if row < 0:
                row = len(self._ids)
                self._ids.append(name)  # first the name, so that a row that is found can be named
                rows[name] = row
            out.append(row)
        return out

    def since(self, row: int) -> list[str]:
        """List the ids from `row` on."""
        return self._ids[row:]

    def unname(self, row: int) -> None:
        """Take the name from a row; the row stays, since models count by it."""
        self._rows.pop(self._ids[row], None)
        self._ids[row] = FORGOTTEN

    def extend(self, rows: Mapping[str, int]) -> None:
        """Append ids with the rows that follow, in order, once they are committed."""
        self._ids.extend(rows)  # first the names, so that a row that is found can be named
        self._rows.update(rows)


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
        if None not in names:
            text = "\n".join(cast("Sequence[str]", names))
            longest = max(map(len, names), default=1)  # type: ignore[arg-type]
            if all(names) and longest * 4 <= MAX_ID_BYTES and len(_CONTROL.findall(text)) == len(names) - 1:
                return np.ones(len(names), dtype=np.bool_)
        return np.fromiter((name is not None and valid_id(name) for name in names), dtype=np.bool_, count=len(names))

    def rows(self, names: Sequence[str]) -> I32:
        """Look up distinct ids that fit, giving new ones the next rows; int32 (n,). Cost: about 0.1 us an id."""
        mine, start = self._rows, len(self)
        out = self._base.rows(names) if len(self._base) else np.full(len(names), -1, dtype=np.int32)
        if mine:
            out = np.maximum(out, np.fromiter(map(mine.get, names, repeat(-1)), dtype=np.int32, count=len(names)))
        new = np.flatnonzero(out < 0)
        out[new] = np.arange(start, start + len(new), dtype=np.int32)
        fresh = list(names) if len(new) == len(names) else [names[k] for k in new.tolist()]
        mine.update(zip(fresh, range(start, start + len(fresh)), strict=True))
        self.added += fresh
        return out

    def encoded(self, positions: npt.NDArray[np.integer[Any]], names: Sequence[str | None], *, some: bool) -> I32:
        """Look up `names[positions]`, which all fit; int32 like `positions`. `some`: not all names are pointed to."""
        if not some:
            return np.asarray(self.rows(cast("Sequence[str]", names))[positions])
        used = np.zeros(len(names), dtype=np.bool_)
        used[positions] = True
        rows = np.full(len(names), -1, dtype=np.int32)
        rows[used] = self.rows([name for name, wanted in zip(names, used.tolist(), strict=True) if wanted and name])
        return np.asarray(rows[positions])

    def save(self, cursor: Cursor) -> int:
        """Append what is new to the database within the running transaction; returns how many."""
        fresh = self.added[self._saved :]
        if fresh:
            save_ids(cursor, self._table, len(self._base) + self._saved, fresh)
            self._saved = len(self.added)
        return len(fresh)

    def keep(self) -> None:
        """Make the additions visible to everyone; call after the commit."""
        self._base.extend(self._rows)


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


def save_ids(cursor: Cursor, table: Name, start: int, ids: Sequence[str]) -> None:
    """Append ids with the rows from `start` on, within the running transaction."""
    if not ids:
        return
    code = np.int16 if table == "event_types" else np.int32
    frame = pa.table({"row": np.arange(start, start + len(ids), dtype=code), "id": pa.array(ids, pa.string())})
    with cursor.registered("new_ids", frame):
        cursor.execute(query(f"store/append_{table}"))
