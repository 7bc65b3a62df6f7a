"""Versions of items and users, one after the other: what each makes of the one before it, and their way to the store.

In: frames of the journal. `following` is the one definition of PUT and PATCH: the fold in memory
(`online/catalogues.py`) and `append_live_versions` both use it, so that a restart reads what was felt.
"""

import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from recengine.errors import BadRequest
from recengine.store import compose
from recengine.store.attributes import Shape, Value, inferred, kept
from recengine.store.catalog import Attribute, Owner, attributes
from recengine.store.cursor import Cursor
from recengine.store.queries import query
from recengine.types import I32, NO_TIME
from recengine.types.frames import ItemFrame, UserFrame

__all__ = ("Version", "VersionFrame", "append_live_versions", "begins", "fitted", "following")

VersionFrame: TypeAlias = ItemFrame | UserFrame
_LATEST = np.iinfo(np.int64).max

log = logging.getLogger("recengine.store")


class Version(NamedTuple):
    """What is known of one item or user from `valid_from` (microseconds; NO_TIME = since ever) on."""

    valid_from: int
    available: bool
    attributes: dict[str, Value]


def begins(frame: VersionFrame, last: int | None) -> int:
    """Tell from when the version of a frame is valid.

    Parameters
    ----------
    last : from when the latest version there is is valid; None = there is none.
    """
    if frame.valid_from is not None:
        return frame.valid_from
    return NO_TIME if last is None else max(frame.at, last)  # a clock that went back must not hide a change


def following(before: Version | None, frame: VersionFrame, said: dict[str, Value | None], begin: int) -> Version | None:
    """Return the version that a frame makes of the one in force `before` it; None = it says nothing new.

    `said` is what `fitted` made of its attributes, `begin` what `begins` says.
    """
    available = before.available if before is not None else True
    if isinstance(frame, UserFrame):
        available = True
    elif frame.available is not None:
        available = frame.available
    stays = before.attributes if before is not None and frame.merge else {}
    known = {name: value for name, value in (stays | said).items() if value is not None}
    if before is not None and before.available == available and before.attributes == known:
        return None
    return Version(begin, available, known)


def fitted(
    frame: VersionFrame, shape: Callable[[str], Shape | None], claim: Callable[[str, Shape], None]
) -> dict[str, Value | None]:
    """Bring the attributes of a frame to the form in which they are kept; None = missing.

    A name without a `shape` gets the one that its value has, by `claim`. The door has checked all of it; what no
    longer fits, because an ingest gave the name another kind in between, is left out and logged.
    """
    out: dict[str, Value | None] = {}
    for name, value in frame.attributes.items():
        out[name] = None
        if value is None:
            continue
        try:
            found = shape(name) or inferred(name, value)
            if found is None:
                continue
            out[name] = kept(name, found, value)
        except BadRequest as err:
            log.warning("an attribute of %s was left out: %s", _id(frame), err)
            continue
        if shape(name) is None and out[name] is not None:
            claim(name, found)
    return out


def append_live_versions(cursor: Cursor, owner: Owner, rows: I32, frames: Sequence[VersionFrame]) -> int:
    """Append what frames say that is new, within the running transaction; returns how many versions.

    Parameters
    ----------
    rows : (len(frames),) int32, the item or user of each.
    frames : in the order in which they were folded.

    Why whole rows: a PUT clears what it does not say, which `VersionSink` cannot express for a group.

    Cost: one scan of the versions' rows, then about 20 us a frame.
    """
    known = attributes(cursor, owner)
    shapes = {name: Shape(a.kind, a.size) for name, a in known.items()}
    before = len(known)
    chains = _chains(cursor, owner, known, rows, frames)
    fresh: list[tuple[int, Version]] = []
    for row, frame in zip(rows.tolist(), frames, strict=True):
        said = fitted(frame, shapes.get, shapes.__setitem__)
        chain = chains.setdefault(row, [])
        begin = begins(frame, chain[-1].valid_from if chain else None)
        place = bisect_right(chain, begin, key=_from)
        version = following(chain[place - 1] if place else None, frame, said, begin)
        if version is not None:
            chain.insert(place, version)
            fresh.append((row, version))
    for name, shape in list(shapes.items())[before:]:
        known[name] = _added(cursor, owner, Attribute(len(known), name, shape.kind, shape.size))
    if fresh:
        _append(cursor, owner, known, fresh)
    return len(fresh)


def _from(version: Version) -> int:
    return version.valid_from


def _id(frame: VersionFrame) -> str:
    return f"item {frame.item_id!r}" if isinstance(frame, ItemFrame) else f"user {frame.user_id!r}"


def _added(cursor: Cursor, owner: Owner, attribute: Attribute) -> Attribute:
    fields = {"position": attribute.position, "name": attribute.name, "kind": attribute.kind, "size": attribute.size}
    cursor.execute(query("store/insert_attribute"), {"owner": owner, **fields})
    cursor.execute(compose.add_attribute(owner, attribute.position, attribute.kind, attribute.size))
    return attribute


def _chains(
    cursor: Cursor, owner: Owner, known: dict[str, Attribute], rows: I32, frames: Sequence[VersionFrame]
) -> dict[int, list[Version]]:
    """Read of every row its latest version and those in force when one of the frames begins, oldest first."""
    wanted = [(row, _LATEST) for row in set(rows.tolist())]
    wanted += [(row, f.valid_from) for row, f in zip(rows.tolist(), frames, strict=True) if f.valid_from is not None]
    frame = pa.table(
        {
            "row": pa.array([row for row, _ in wanted], pa.int32()),
            "moment": pa.array([moment for _, moment in wanted], pa.int64()),
        }
    )
    with cursor.registered("wanted_versions", frame):
        table = cursor.table(compose.versions_in_force(owner, [a.position for a in known.values()]))
    chains: dict[int, list[Version]] = {}
    columns = {name: table[f"a{a.position}"].to_pylist() for name, a in known.items()}
    fixed = (table[name].to_pylist() for name in ("row", "valid_from", "available"))
    for k, (row, valid_from, available) in enumerate(zip(*fixed, strict=True)):
        there = {name: column[k] for name, column in columns.items() if column[k] is not None and column[k] != []}
        chains.setdefault(row, []).append(Version(valid_from, available, there))
    return chains


def _append(cursor: Cursor, owner: Owner, known: dict[str, Attribute], fresh: list[tuple[int, Version]]) -> None:
    first = int(cursor.row(query(f"store/last_{owner}_version"))[0]) + 1
    versions = [version for _, version in fresh]
    columns: dict[str, Any] = {
        "seq": np.arange(first, first + len(fresh), dtype=np.int64),
        "row": np.array([row for row, _ in fresh], dtype=np.int32),
        "valid_from": np.array([v.valid_from for v in versions], dtype=np.int64),
        "available": pa.array([v.available for v in versions], pa.bool_()),
    }
    used = [known[name] for name in dict.fromkeys(name for v in versions for name in v.attributes)]
    for a in used:
        columns[f"a{a.position}"] = pa.array([v.attributes.get(a.name) for v in versions], _arrow(a))
    with cursor.registered("version_batch", pa.table(columns)):
        cursor.execute(compose.append_whole_versions(owner, [a.position for a in used]))


def _arrow(attribute: Attribute) -> pa.DataType:
    match attribute.kind:
        case "bool":
            return pa.bool_()
        case "number":
            return pa.float64()
        case "timestamp":
            return pa.int64()
        case "strings":
            return pa.list_(pa.string())
        case "vector":
            return pa.list_(pa.float32(), attribute.size)
    return pa.string()
