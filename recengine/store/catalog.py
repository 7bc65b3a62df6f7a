"""What is known of items and users: append-only versions in the store, a `Catalogue` of typed columns outside.

An attribute's kind is remembered when it is first seen, and its column `a<position>` never changes. A version that
equals the one before it is not appended; a source that is silent about an attribute leaves it as it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recengine.store import compose
from recengine.store.cursor import Cursor
from recengine.store.database import Database
from recengine.store.queries import query
from recengine.types import NO_TIME, Catalogue, Column

__all__ = (
    "EVER",
    "Attribute",
    "Kind",
    "Owner",
    "VersionSink",
    "VersionsOverTime",
    "attributes",
    "read_items",
    "read_users",
    "read_versions_over_time",
)

Owner: TypeAlias = Literal["item", "user"]
Kind: TypeAlias = Literal["bool", "number", "string", "strings", "text", "timestamp", "vector"]

EVER = NO_TIME + 1
"""How `Catalogue.held` writes "since ever", so that it differs from "never described"."""


@dataclass(frozen=True)
class Attribute:
    """A free attribute: its column's number, its name, its kind, and the length of a vector (else 0)."""

    position: int
    name: str
    kind: Kind
    size: int = 0


@dataclass(frozen=True)
class VersionsOverTime:
    """All versions of items or users, K of them, ordered by row and time; a row and moment has one.

    `rows` int32 (K,), `begins` int64 (K,) microseconds, NO_TIME = since ever; `columns` as of a `Catalogue` of K rows.
    """

    rows: npt.NDArray[np.int32]
    begins: npt.NDArray[np.int64]
    columns: Mapping[str, Column]


def attributes(cursor: Cursor, owner: Owner) -> dict[str, Attribute]:
    """List the attributes of items or of users by name."""
    found = cursor.rows(query("store/read_attributes"), {"owner": owner})
    return {name: Attribute(position, name, kind, size) for position, name, kind, size in found}


def read_items(database: Database, *, as_of: int | None = None) -> Catalogue:
    """Read the version of every item valid at `as_of` (int64 microseconds; None = the latest)."""
    return _read(database, "item", as_of)


def read_users(database: Database, *, as_of: int | None = None) -> Catalogue:
    """Read the version of every user valid at `as_of` (int64 microseconds; None = the latest)."""
    return _read(database, "user", as_of)


def read_versions_over_time(database: Database, owner: Owner, *, as_of: int | None = None) -> VersionsOverTime:
    """Read every version that was valid at `as_of` or before (None = all). Cost: a sort of the versions."""
    cursor = database.read()
    known = list(attributes(cursor, owner).values())
    table = cursor.table(compose.all_versions(owner, [a.position for a in known]), {"as_of": as_of})
    rows = np.arange(table.num_rows, dtype=np.int64)
    columns = {a.name: _column(a, _whole(table[f"a{a.position}"]), rows, len(rows)) for a in known}
    owners, begins = (np.ascontiguousarray(table[name].to_numpy()) for name in ("row", "valid_from"))
    return VersionsOverTime(owners, begins, columns)


def _read(database: Database, owner: Owner, as_of: int | None) -> Catalogue:
    cursor = database.read()
    known = list(attributes(cursor, owner).values())
    table = cursor.table(compose.read_versions(owner, [a.position for a in known]), {"as_of": as_of})
    n = int(cursor.row(query(f"store/count_{owner}_ids"))[0])
    rows = table["row"].to_numpy().astype(np.int64)
    n = max(n, int(rows[-1]) + 1 if len(rows) else 0)  # an ingest may have committed between the two reads
    available = np.ones(n, dtype=np.uint8)
    available[rows] = table["available"].to_numpy()
    since = np.full(n, NO_TIME, dtype=np.int64)
    since[rows] = table["since"].to_numpy()
    held = np.full(n, NO_TIME, dtype=np.int64)
    held[rows] = np.maximum(table["held"].to_numpy(), EVER)
    columns = {a.name: _column(a, _whole(table[f"a{a.position}"]), rows, n) for a in known}
    return Catalogue(n=n, columns=columns, available=available, since=since, held=held)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole


def _column(attribute: Attribute, values: pa.Array, rows: npt.NDArray[np.int64], n: int) -> Column:
    present = np.asarray(values.is_valid())
    at, values = rows[present], values.drop_null()
    match attribute.kind:
        case "bool":
            return Column("bool", _spread(np.asarray(values).astype(np.uint8), at, n, 2))
        case "number":
            return Column("number", _spread(np.asarray(values), at, n, np.nan))
        case "timestamp":
            return Column("timestamp", _spread(np.asarray(values), at, n, NO_TIME))
        case "text":
            return Column("text", _spread(np.asarray(values.to_numpy(zero_copy_only=False), dtype=object), at, n, None))
        case "string":
            codes, labels = _encode(values)
            return Column("string", _spread(codes, at, n, -1), labels=labels)
        case "strings":
            codes, labels = _encode(values.flatten())
            lengths = np.zeros(n, dtype=np.int64)
            lengths[at] = np.asarray(pc.list_value_length(values))
            return Column(
                "strings", codes, labels=labels, indptr=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
            )
        case "vector":
            out = np.full((n, attribute.size), np.nan, dtype=np.float32)
            out[at] = np.asarray(values.flatten()).reshape(-1, attribute.size)
            return Column("vector", out)


def _spread(values: npt.NDArray[Any], at: npt.NDArray[np.int64], n: int, missing: object) -> npt.NDArray[Any]:
    out = np.full(n, missing, dtype=values.dtype)
    out[at] = values
    return out


def _encode(values: pa.Array) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
    encoded = values.dictionary_encode()
    return np.asarray(encoded.indices).astype(np.int32), tuple(encoded.dictionary.to_pylist())


class VersionSink:
    """Takes the versions of one source within one transaction; keeps those that say something new.

    Parameters
    ----------
    cursor : of the running write.
    owner : item | user.
    told : the attributes that the source has, {name: (kind, size)}; new ones are added to the store.
    """

    def __init__(self, cursor: Cursor, owner: Owner, told: Mapping[str, tuple[Kind, int]]) -> None:
        self._cursor = cursor
        self._owner = owner
        known = attributes(cursor, owner)
        for name, (kind, size) in told.items():
            if name not in known:
                known[name] = Attribute(len(known), name, kind, size)
                fields = {"owner": owner, "position": known[name].position, "name": name, "kind": kind, "size": size}
                cursor.execute(query("store/insert_attribute"), fields)
                cursor.execute(compose.add_attribute(owner, known[name].position, kind, size))
        self._told = {name: known[name] for name in told}
        self._silent = [a.position for name, a in known.items() if name not in told]
        self._seq = int(cursor.row(query(f"store/last_{owner}_version"))[0]) + 1
        self.taken = 0
        cursor.execute(compose.stage_versions({a.position: (a.kind, a.size) for a in self._told.values()}))

    def add(
        self, rows: npt.NDArray[np.int32], valid_from: pa.Array, available: pa.Array, values: Mapping[str, pa.Array]
    ) -> None:
        """Take one batch: rows, `valid_from` int64 (us) or null, `available` bool or null, an array an attribute."""
        n = len(rows)
        seq = np.arange(self._seq + self.taken, self._seq + self.taken + n, dtype=np.int64)
        columns = {"seq": seq, "row": rows, "valid_from": valid_from, "available": available}
        columns |= {f"a{self._told[name].position}": column for name, column in values.items()}
        with self._cursor.registered("version_batch", pa.table(columns)):
            self._cursor.execute(compose.fill_versions([a.position for a in self._told.values()]))
        self.taken += n

    def finish(self, *, at: int) -> int:
        """Append what is new, valid from `at` (microseconds) where no date was given; returns how many versions."""
        told = [a.position for a in self._told.values()]
        kept = self._cursor.changed(
            compose.append_versions(self._owner, told, self._silent), {"now": at, "ever": NO_TIME}
        )
        self._cursor.execute(query("store/unstage_versions"))
        return kept
