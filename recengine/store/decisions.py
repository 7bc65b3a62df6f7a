"""Decision records: what was shown to whom and why, kept in batches behind the reply.

Comes in: replies of the online spine with the times of their stages. Goes out: rows of `decisions`, written on the
writer thread when 1,024 wait, after a second, or at the close. Why a buffer: a row of its own would cost an fdatasync
(about 2 ms); appending to the buffer costs under a microsecond a reply. A crash loses at most the last second of
records; what was bought or clicked is in the journal, not here. Who answers faster than the disk takes waits for it;
only what cannot be written is dropped, and counted.
"""

import threading
import time
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
import pyarrow as pa

from recengine.store.cursor import Cursor
from recengine.store.database import Database
from recengine.store.queries import query
from recengine.types import Response

__all__ = ("Decision", "Decisions")

BATCH = 1_024
SECONDS = 1.0
LIMIT = 65_536
"""Replies that may wait. Beyond it `record` waits until they are written; where they cannot be (a full disk, or a write
that takes longer than `PATIENCE`), the oldest are dropped and counted: a stuck disk costs records, not memory."""
PATIENCE = 10.0
"""Seconds that `record` waits for room; once in vain, it waits no more until something was written again."""
_UNFIT = (ValueError, TypeError, OverflowError, pa.ArrowException, msgspec.MsgspecError)
"""What a value that cannot be stored raises, such as half a surrogate pair, which is no UTF-8."""


_Record: TypeAlias = tuple[int, Response, int, Mapping[str, int]]
"""When (microseconds since 1970), the reply, how many were answered together, and their times by stage."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One reply as it was given."""

    request_id: str
    at: int
    """Microseconds since 1970."""
    user_id: str | None
    version: str
    cold: bool
    items: tuple[str, ...]
    """Best first; `scores`, `reasons` and `contributions` go with them."""
    scores: tuple[float, ...]
    reasons: tuple[str, ...]
    contributions: tuple[dict[str, float], ...]
    degraded: tuple[str, ...]
    batch: int
    """Requests answered together; `times` are theirs."""
    times: dict[str, int]
    """Nanoseconds by stage."""


class Decisions:
    """The decision log of one database. Thread-safe.

    Parameters
    ----------
    database : where records go.
    rate : share of replies that are kept, 0..1, chosen by the request id.
    """

    def __init__(self, database: Database, *, rate: float = 1.0) -> None:
        self.dropped = 0
        """Records that were lost because they, or the database, could not be written."""
        self._database = database
        self._limit = int(rate * 2**32)
        self._waiting: deque[_Record] = deque()
        self._wake = threading.Event()
        self._closed = False
        self._flushing = threading.Lock()
        self._room = threading.Condition()  # guards `dropped` and `_stuck`
        self._stuck = False
        self._thread = threading.Thread(target=self._run, name="recengine-decisions", daemon=True)
        self._thread.start()

    def record(self, replies: Sequence[Response], times: Mapping[str, int]) -> None:
        """Keep the records of replies that were answered together. Returns at once while there is room."""
        at = time.time_ns() // 1_000
        waiting = self._waiting
        times = dict(times)
        for reply in replies:
            if zlib.crc32(reply.request_id.encode(errors="surrogatepass")) < self._limit:
                waiting.append((at, reply, len(replies), times))
        if len(waiting) >= BATCH:
            self._wake.set()
        if len(waiting) > LIMIT:
            self._make_room()

    def flush(self) -> None:
        """Write what waits now and return when it is durable.

        Raises
        ------
        StoreFailed : the database cannot write; the records still wait.
        """
        with self._flushing:
            left = len(self._waiting)  # not what comes meanwhile: that could go on for ever
            while left > 0 and self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), left, 8 * BATCH))]
                left -= len(batch)
                try:
                    lost = self._write(batch)
                except BaseException:
                    self._waiting.extendleft(reversed(batch))
                    self._report(stuck=True)
                    raise
                self._report(stuck=False, lost=lost)

    def read(self, request_id: str) -> Decision | None:
        """Look up the record of a reply; None = there is none. Writes first what waits. Cost: a scan of one column."""
        self.flush()
        if not request_id.isascii() and request_id.encode(errors="replace").decode() != request_id:
            return None  # no UTF-8, so no record has it
        rows = self._database.read().rows(query("store/read_decision"), {"request_id": request_id})
        if not rows:
            return None
        fields = dict(zip(Decision.__struct_fields__, rows[0], strict=True))
        fields["contributions"] = msgspec.json.decode(fields["contributions"])
        fields["times"] = msgspec.json.decode(fields["times"])
        return msgspec.convert(fields, Decision)

    def close(self) -> None:
        """Write what waits and stop. Idempotent; the thread has ended even where this raises.

        Raises
        ------
        StoreFailed : the database cannot write; the records that waited are dropped.
        """
        if self._closed:
            return
        self._closed = True
        self._wake.set()
        self._thread.join()
        try:
            self.flush()
        finally:
            self._report(stuck=True, lost=len(self._waiting))
            self._waiting.clear()

    # ------------------------------------------------------------------------------------------------ inside

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(SECONDS)
            self._wake.clear()
            try:
                self.flush()
            except Exception:  # noqa: BLE001 - whoever calls `read` or `close` is told; without this thread nothing is kept
                # The disk is full or the database is being reopened: the records wait, `record` bounds and counts them.
                time.sleep(SECONDS / 10)

    def _report(self, *, stuck: bool, lost: int = 0) -> None:
        """Tell those who wait for room how the last write went."""
        with self._room:
            self._stuck = stuck
            self.dropped += lost
            self._room.notify_all()

    def _make_room(self) -> None:
        """Wait for the thread to write; drop the oldest records where it cannot."""
        with self._room:
            if not self._room.wait_for(lambda: self._stuck or len(self._waiting) <= LIMIT, PATIENCE):
                self._stuck = True
            while len(self._waiting) > LIMIT:
                self._waiting.popleft()
                self.dropped += 1

    def _write(self, batch: list[_Record]) -> int:
        """Append a batch; returns how many of its records could not be."""
        frames = _frames(batch)
        if not frames:
            return len(batch)
        frame = pa.concat_tables(frames)

        def append(cursor: Cursor) -> None:
            with cursor.registered("decision_batch", frame):
                cursor.execute(query("store/append_decisions"))

        self._database.write(append)
        return len(batch) - int(frame.num_rows)


def _frames(batch: list[_Record]) -> list[pa.Table]:
    """Lay out the records that can be stored, in order. One that cannot be is found by halving, log2 n tries each."""
    try:
        return [_frame(batch)]
    except _UNFIT:
        half = len(batch) // 2
        return [*_frames(batch[:half]), *_frames(batch[half:])] if half else []


def _frame(batch: list[_Record]) -> pa.Table:
    encode = msgspec.json.encode
    texts = pa.list_(pa.string())
    return pa.table(
        {
            "request_id": pa.array([r.request_id for _, r, _, _ in batch], pa.string()),
            "at": np.array([at for at, _, _, _ in batch], dtype=np.int64),
            "user_id": pa.array([r.user_id for _, r, _, _ in batch], pa.string()),
            "version": pa.array([r.version for _, r, _, _ in batch], pa.string()),
            "cold": pa.array([r.cold for _, r, _, _ in batch], pa.bool_()),
            "items": pa.array([[i.item_id for i in r.items] for _, r, _, _ in batch], texts),
            "scores": pa.array([[i.score for i in r.items] for _, r, _, _ in batch], pa.list_(pa.float32())),
            "reasons": pa.array([[i.reason for i in r.items] for _, r, _, _ in batch], texts),
            "contributions": [encode([i.contributions for i in r.items]).decode() for _, r, _, _ in batch],
            "degraded": pa.array([list(r.degraded) for _, r, _, _ in batch], texts),
            "batch": np.array([n for _, _, n, _ in batch], dtype=np.int32),
            "times": [encode(times).decode() for _, _, _, times in batch],
        }
    )
