"""Decision records: what was shown to whom and why, kept in batches behind the reply.

Comes in: replies of the online spine with the times of their stages. Goes out: rows of `decisions`, written on the
writer thread when 1,024 wait, after a second, or at the close. Why a buffer: a row of its own would cost an fdatasync
(about 2 ms); appending to the buffer costs under a microsecond a reply. A crash loses at most the last second of
records; what was bought or clicked is in the journal, not here.
"""

import threading
import time
import zlib
from collections import deque
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pyarrow as pa

from recengine.errors import RecEngineError
from recengine.store.cursor import Cursor
from recengine.store.database import Database
from recengine.store.queries import query
from recengine.types import Response

__all__ = ("Decision", "Decisions")

BATCH = 1_024
SECONDS = 1.0
LIMIT = 65_536
"""Replies that may wait; beyond it the oldest are dropped and counted: a stuck disk costs records, not memory."""


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
        """Records that were lost because the database could not take them."""
        self._database = database
        self._limit = int(rate * 2**32)
        self._waiting: deque[tuple[int, Response, int, Mapping[str, int]]] = deque()
        self._wake = threading.Event()
        self._closed = False
        self._flushing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="recengine-decisions", daemon=True)
        self._thread.start()

    def record(self, replies: Sequence[Response], times: Mapping[str, int]) -> None:
        """Keep the records of replies that were answered together. Returns at once."""
        at = time.time_ns() // 1_000
        waiting = self._waiting
        times = dict(times)
        for reply in replies:
            if zlib.crc32(reply.request_id.encode()) < self._limit:
                waiting.append((at, reply, len(replies), times))
        while len(waiting) > LIMIT:
            waiting.popleft()
            self.dropped += 1
        if len(waiting) >= BATCH:
            self._wake.set()

    def flush(self) -> None:
        """Write what waits and return when it is durable.

        Raises
        ------
        StoreFailed : the database cannot write; the records still wait.
        """
        with self._flushing:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), 8 * BATCH))]
                try:
                    self._write(batch)
                except BaseException:
                    self._waiting.extendleft(reversed(batch))
                    raise

    def read(self, request_id: str) -> Decision | None:
        """Look up the record of a reply; None = there is none. Writes first what waits. Cost: a scan of one column."""
        self.flush()
        rows = self._database.read().rows(query("store/read_decision"), {"request_id": request_id})
        if not rows:
            return None
        fields = dict(zip(Decision.__struct_fields__, rows[0], strict=True))
        fields["contributions"] = msgspec.json.decode(fields["contributions"])
        fields["times"] = msgspec.json.decode(fields["times"])
        return msgspec.convert(fields, Decision)

    def close(self) -> None:
        """Write what waits and stop. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._wake.set()
        self._thread.join()
        self.flush()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(SECONDS)
            self._wake.clear()
            try:
                self.flush()
            except RecEngineError:
                # The disk is full or the database is being reopened: the records wait, `record` bounds and counts them.
                time.sleep(SECONDS / 10)

    def _write(self, batch: list[tuple[int, Response, int, Mapping[str, int]]]) -> None:
        encode = msgspec.json.encode
        frame = pa.table(
            {
                "request_id": [r.request_id for _, r, _, _ in batch],
                "at": np.array([at for at, _, _, _ in batch], dtype=np.int64),
                "user_id": pa.array([r.user_id for _, r, _, _ in batch], pa.string()),
                "version": [r.version for _, r, _, _ in batch],
                "cold": [r.cold for _, r, _, _ in batch],
                "items": pa.array([[i.item_id for i in r.items] for _, r, _, _ in batch], pa.list_(pa.string())),
                "scores": pa.array([[i.score for i in r.items] for _, r, _, _ in batch], pa.list_(pa.float32())),
                "reasons": pa.array([[i.reason for i in r.items] for _, r, _, _ in batch], pa.list_(pa.string())),
                "contributions": [encode([i.contributions for i in r.items]).decode() for _, r, _, _ in batch],
                "degraded": pa.array([list(r.degraded) for _, r, _, _ in batch], pa.list_(pa.string())),
                "batch": np.array([n for _, _, n, _ in batch], dtype=np.int32),
                "times": [encode(times).decode() for _, _, _, times in batch],
            }
        )

        def append(cursor: Cursor) -> None:
            with cursor.registered("decision_batch", frame):
                cursor.execute(query("store/append_decisions"))

        self._database.write(append)
