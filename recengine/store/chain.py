"""The chain of segments in a journal's folder: each header says where the one before it ended.

Floor 2, below `journal.py`. In: a folder, and how far the database is. Out: the segments, what counts of each, and the
frames after a number; or `StoreCorrupt`, when acknowledged frames that the database lacks cannot be read.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from recengine.durable import flush
from recengine.errors import StoreCorrupt, StoreFailed
from recengine.store.reserve import FULL
from recengine.store.segments import HEADER, Header, Hole, read_header, survey

__all__ = ("RESTORE", "Chain", "Segment", "full", "load", "read", "refused")

RESTORE = "restore a backup with `recengine restore`"
CHUNK = 8192
"""Frames that `read` returns at once."""


class Segment:
    """A file of the journal: its header, and the last frame of it that counts."""

    __slots__ = ("head", "last", "path")

    def __init__(self, path: Path, head: Header, last: int) -> None:
        self.path = path
        self.head = head
        self.last = last


class Chain(NamedTuple):
    """What a folder holds."""

    segments: list[Segment]
    oldest: int
    """Every frame after this one is here."""
    last: int
    """The last frame that counts."""
    next: int
    """The number of the next one."""
    cut: int
    """Bytes of a torn tail that were cut off."""


def load(folder: Path, store: bytes, after: int) -> Chain:
    """Read the segments of `folder` as a start finds them, and cut off a torn tail.

    Parameters
    ----------
    store : whose journal it must be.
    after : the last frame that the database holds. Segments that end before it are not read.

    Raises
    ------
    StoreCorrupt : acknowledged frames after `after` cannot be read, or the journal is of another store.
    OSError : the disk refuses.
    """
    sound = _sound(folder, store)
    if not sound:
        return Chain([], after, after, after + 1, 0)
    oldest = sound[0][1].before
    if oldest > after:
        raise StoreCorrupt(
            f"journal: it begins after frame {oldest}, and the database ends at frame {after}", hint=RESTORE
        )
    segments: list[Segment] = []
    for (path, head), (_, following) in pairwise(sound):
        if following.before > after:
            found = survey(path.read_bytes(), head, following.before)
            oldest = max(oldest, _holes(path, found.holes, after))
        segments.append(Segment(path, head, following.before))
    path, head = sound[-1]
    data = path.read_bytes()
    found = survey(data, head, None, stored=after)
    oldest = max(oldest, _holes(path, found.holes, after))
    if found.stop < len(data):
        os.truncate(path, found.stop)
    flush(path)  # a killed process may have written whole frames and not synced them: from here on they count
    last = max(found.last, head.before)
    segments.append(Segment(path, head, last))
    if after > last:  # frames that only the database has
        oldest = last = after
    return Chain(segments, oldest, last, max(last + 1, head.first), len(data) - found.stop)


def read(segments: Sequence[Segment], after: int) -> Iterator[tuple[int, list[bytes]]]:
    """Read the frames after `after`, in order, in chunks: (seq of the first, payloads).

    Raises
    ------
    StoreCorrupt : not all of them can be read.
    StoreFailed : the disk refuses.
    """
    for segment in segments:
        try:
            data = segment.path.read_bytes()
        except OSError as err:
            raise refused(err, segment.path) from err
        found = survey(data, segment.head, segment.last)
        _holes(segment.path, found.holes, after)
        for run in found.runs:
            payloads = run.payloads(data, after)
            first = run.last + 1 - len(payloads)
            for k in range(0, len(payloads), CHUNK):
                yield first + k, payloads[k : k + CHUNK]


def full(message: str) -> StoreFailed:
    """Say that the disk is full."""
    return StoreFailed(message, hint="free disk space; recording goes on by itself")


def refused(err: OSError, path: Path, offset: int | None = None) -> StoreFailed:
    """Say that the disk refused the file at `path` (or the folder of the journal)."""
    where = path.name if path.suffix else "journal"
    at = f" at byte {offset}" if offset is not None and path.suffix else ""
    if err.errno in FULL:
        return full(f"{where}: the disk is full: the journal cannot grow{at}")
    return StoreFailed(f"{where}: the disk refused{at}: {err.strerror}", hint="check the disk and the permissions")


def _sound(folder: Path, store: bytes) -> list[tuple[Path, Header]]:
    """List the segments whose headers can be read; another is missed like one that is lost."""
    heads = [(path, read_header(path)) for path in sorted(folder.glob("*.seg"))]
    if heads and heads[-1][1] is None:
        path = heads.pop()[0]
        if path.stat().st_size >= HEADER:
            raise StoreCorrupt(
                f"journal/{path.name}: the header at byte 0 is damaged, so the frames behind it cannot be read",
                hint="restore a backup, or move this file away to go on without what only it holds",
            )
        path.unlink()  # cut short before its first frame
    sound = [(path, head) for path, head in heads if head is not None]
    for path, head in sound:
        if head.store != store:
            raise StoreCorrupt(
                f"journal/{path.name}: is of another store than the database",
                hint="put the journal back where it was",
            )
    return sound


def _holes(path: Path, holes: Sequence[Hole], after: int) -> int:
    """Refuse holes that the database does not fill; returns the last frame that only it has, -1 = none."""
    for hole in holes:
        if hole.last > after:
            raise StoreCorrupt(
                f"journal/{path.name}: damaged at byte {hole.offset}: the acknowledged frames {hole.first} to "
                f"{hole.last} cannot be read, and the database ends at frame {after}",
                hint=RESTORE,
            )
    return max((hole.last for hole in holes), default=-1)
