"""The journal: what was acknowledged is in it, on the disk, before anyone is told.

Floor 2, under `online/feedback.py`. In: groups of frames (bytes whose meaning it does not know). Out: their numbers,
and after a restart the frames again, in order. One thread writes. The format is in `segments.py`, and what a start
finds in `chain.py`.

Why a new segment after a failed sync: the kernel may have dropped the pages, and a second sync of the same file could
report success without them (PostgreSQL panics for the same reason). The next segment's header says where the last one
ended; frames beyond that were never acknowledged and are passed over, and their numbers are never used again.
Why a new segment after each start: its header seals what the one before held, so damage to it is found later.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Self

from recengine.config import Storage
from recengine.durable import flush
from recengine.errors import EngineFault, StoreCorrupt
from recengine.store.chain import RESTORE, Segment, full, load, read, refused
from recengine.store.reserve import FULL, Reserve
from recengine.store.segments import HEADER, Header, frame, header, name

__all__ = ("Journal",)

_LARGEST = 1 << 30
"""Bytes of a payload; far below what the length field holds."""


class Journal:
    """An append-only log of numbered frames. Make it with `Journal.open`.

    `write` belongs to one thread; `trim`, `held`, `relieve` and `last_seq` may be used from any.
    """

    def __init__(self, folder: Path, storage: Storage, store: bytes) -> None:
        self.folder = folder
        self.last_seq = -1
        """The last durable frame; -1 = there never was one."""
        self.oldest = -1
        """`read(after)` works from here on: every frame after `oldest` is in the journal."""
        self.cut = 0
        """Bytes of a torn tail that `open` cut off: frames that were being written when the process ended."""
        self._storage = storage
        self._store = store
        self._segments: list[Segment] = []
        self._lock = Lock()  # guards the list
        self._reserve = Reserve(folder / "reserve", storage.reserve_bytes)
        self._next = 0
        self._path = folder
        self._handle: int | None = None
        self._size = 0
        self._born = 0.0
        self._turn = False

    @classmethod
    def open(cls, folder: Path, *, after: int, storage: Storage, store: bytes = bytes(16)) -> Self:
        """Open the journal in `folder`, which is made where it is missing, and cut off a torn tail.

        Parameters
        ----------
        after : the last frame that the database holds; -1 = none. Damage up to it costs nothing and is passed over.
        storage : sizes.
        store : 16 bytes that tell whose journal this is.

        Raises
        ------
        StoreCorrupt : acknowledged frames after `after` are damaged or missing, or the journal is of another store.
        StoreFailed : the disk refuses.

        Cost: 0.7 us a frame of the segments that reach beyond `after`.
        """
        self = cls(folder, storage, store)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            flush(folder.parent)  # each time: the process that made it may have been killed before it came to this
            for left in folder.glob("*.new"):  # a segment whose making was cut short
                left.unlink()
            found = load(folder, store, after)
            self._reserve.hold()
        except OSError as err:
            raise refused(err, folder) from err
        self._segments, self.oldest, self.last_seq, self._next, self.cut = found
        return self

    def write(self, frames: Sequence[bytes]) -> int:
        """Append a group of frames and force it to the disk; returns the seq of the first.

        Raises
        ------
        StoreFailed : the disk refuses: nothing of the group counts. The next call tries anew.

        Cost: one write and one fdatasync, and about 1 us a frame.
        """
        if not frames:
            return self._next
        if max(map(len, frames)) > _LARGEST:
            raise EngineFault(f"a frame of {max(map(len, frames))} bytes, at most {_LARGEST} were expected")
        self._await_room()
        first = self._next
        try:
            handle, seed = self._room(sum(map(len, frames)))
            durable = self.last_seq
            group = b"".join(frame(payload, first + i, durable, seed) for i, payload in enumerate(frames))
            self._append(handle, group)
            self._sync(handle, skip=len(frames))
        except OSError as err:
            if err.errno in FULL:
                self.relieve()
            raise refused(err, self._path, self._size) from err
        self._size += len(group)
        self._next = first + len(frames)
        self.last_seq = self._segments[-1].last = self._next - 1
        return first

    def read(self, after: int) -> Iterator[tuple[int, list[bytes]]]:
        """Read all durable frames after `after`, in order, in chunks of up to 8,192: (seq of the first, payloads).

        Within a chunk the numbers follow one another; between chunks some may be missing that were never acknowledged.

        Raises
        ------
        StoreCorrupt : not all of them are there (any more).
        StoreFailed : the disk refuses.

        Cost: about 1 us a frame; a segment is in memory at a time.
        """
        if after < self.oldest:
            raise StoreCorrupt(
                f"journal: frames after {after} were asked for, it holds those after {self.oldest}", hint=RESTORE
            )
        with self._lock:
            segments = [Segment(s.path, s.head, s.last) for s in self._segments if s.last > after]
        yield from read(segments, after)

    def files(self, after: int) -> list[Path]:
        """List the segments that reach beyond `after`."""
        with self._lock:
            return [s.path for s in self._segments if s.last > after]

    def held(self, after: int) -> int:
        """Count the bytes of the segments that reach beyond `after`."""
        return sum(path.stat().st_size for path in self.files(after) if path.exists())

    def trim(self, through: int) -> None:
        """Drop the segments whose last frame is at or before `through`; never the open one.

        Raises
        ------
        StoreFailed : the disk refuses.
        """
        with self._lock:
            done = [s for s in self._segments[:-1] if s.last <= through]
            if not done:
                return
            self._segments = self._segments[len(done) :]
            self.oldest = max(self.oldest, self._segments[0].head.before)
            keep = self._segments[0].path.name
        try:
            for path in self.folder.glob("*.seg"):
                if path.name < keep:  # also what was found unreadable
                    path.unlink(missing_ok=True)
            flush(self.folder)
        except OSError as err:
            raise refused(err, self.folder) from err

    def relieve(self) -> None:
        """Give the reserve away: the disk is full, and the database has yet to commit what was acknowledged.

        `write` refuses until there is room for it again.
        """
        self._reserve.release()

    def turn(self) -> None:
        """Let the next group begin a new segment, so that all before it can be trimmed."""
        self._turn = True

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    # ------------------------------------------------------------------------------------------------ writing

    def _await_room(self) -> None:
        """Refuse while the disk is full, so that what was given away is left to the database."""
        try:
            held = self._reserve.hold()
        except OSError as err:
            raise refused(err, self.folder) from err
        if not held:
            raise full("journal: the disk is full")

    def _room(self, size: int) -> tuple[int, int]:
        """Return a descriptor that takes `size` more bytes, and the seed of its frames."""
        if self._handle is not None:
            worn = self._size > HEADER and (
                self._turn
                or self._size + size > self._storage.segment_bytes
                or time.monotonic() - self._born > self._storage.segment_seconds
            )
            if not worn:
                return self._handle, self._segments[-1].head.seed
            self.close()
        self._turn = False
        raw = header(self._store, self._next, self.last_seq)
        self._path = path = self.folder / name(self._next)
        self._size = 0
        fresh = path.with_suffix(".new")
        handle = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            self._put(handle, raw, 0)
            os.fsync(handle)
            fresh.rename(path)  # over one of the same name, which then holds no frame
            flush(self.folder)
        except BaseException:
            os.close(handle)
            raise
        head = Header(self._store, self._next, self.last_seq, int.from_bytes(raw[-4:], "little"))
        with self._lock:
            self._segments = [s for s in self._segments if s.path != path]
            self._segments.append(Segment(path, head, self.last_seq))
        self._handle, self._size, self._born = handle, HEADER, time.monotonic()
        return handle, head.seed

    def _append(self, handle: int, group: bytes) -> None:
        """Write the group, or cut the file back to what it was."""
        try:
            self._put(handle, group, self._size)
        except BaseException:
            try:
                os.ftruncate(handle, self._size)
            except OSError:
                self._retire(handle)
            raise

    def _sync(self, handle: int, *, skip: int) -> None:
        """Force what was written to the disk; where that fails, give the file and the numbers up."""
        try:
            os.fdatasync(handle)
        except BaseException:
            self._next += skip
            self._retire(handle)
            raise

    def _retire(self, handle: int) -> None:
        """Never use this descriptor again; the next write begins a new segment."""
        with suppress(OSError):  # a tidy file is a courtesy: the next header says where this one ended
            os.ftruncate(handle, self._size)
        with suppress(OSError):  # EIO of a close reports the same failure again
            os.close(handle)
        self._handle = None

    @staticmethod
    def _put(handle: int, data: bytes, at: int) -> None:
        view = memoryview(data)
        while view:
            n = os.pwrite(handle, view, at)
            view, at = view[n:], at + n
