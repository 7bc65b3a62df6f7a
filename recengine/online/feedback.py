"""The loop between the spines: event -> frame -> journal -> fold -> acknowledge -> DuckDB.

One thread takes whatever waits, makes it durable with one fdatasync, folds it into the state and wakes the callers; the
next sync starts as soon as the last one ended, so that the group grows with the load and nobody waits for a timer.
Why the fold comes before the acknowledgement: whoever is told that an event is stored gets, from then on, replies that
reflect it. DuckDB follows behind, in batches (`follower.py`).

While an ingest holds the store (`held`), groups are made durable, and folded and acknowledged right after it: rows of
new ids and numbers of events have one order, in memory, in the store and in a replay.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import compress
from typing import TypeAlias

import msgspec

from recengine.errors import BadRequest, EngineFault, RecEngineError, StoreFailed
from recengine.online.admission import Admission
from recengine.online.follower import BEHIND, Follower, Gate
from recengine.online.frames import Group
from recengine.online.notes import LIMIT, Notes
from recengine.online.recent import LIMIT as REMEMBERED
from recengine.online.recent import Recent
from recengine.online.state import State
from recengine.store.database import Database
from recengine.store.events import recent_event_ids
from recengine.store.journal import Journal
from recengine.store.ledger import Ledger
from recengine.types import Receipt
from recengine.types.frames import DecisionFrame, Frame, decode_frame, encode_frame

__all__ = ("Done", "Feedback")

log = logging.getLogger(__name__)

Done: TypeAlias = Callable[[Receipt | RecEngineError], None]

NOTED = 1.0
"""Seconds that a decision may wait for the journal: a crash loses at most these."""
PATIENCE = 10.0
"""Seconds that a batch waits for that room."""
QUEUE = 200_000
"""Frames that may wait for DuckDB before new ones are refused: a database that cannot write costs no memory."""


UNFIT = (ValueError, TypeError, OverflowError)
"""What a frame raises that cannot be encoded."""


_BROKEN = EngineFault("a frame could not be folded", hint="please report this; open the engine again")


class _Submission(msgspec.Struct, gc=False):
    frames: Sequence[Frame]
    payloads: Sequence[bytes]
    done: Done


class _Group(msgspec.Struct, gc=False):
    """Frames that became durable together, and who waits for them."""

    seq: int
    frames: Sequence[Frame]
    taken: Sequence[_Submission]
    receipts: Sequence[Receipt | RecEngineError]


class Feedback:
    """Takes frames from any thread.

    Parameters
    ----------
    journal : open; its frames beyond what the database holds are folded by `replay`.
    recent : ids of events that are stored already.
    """

    def __init__(self, database: Database, journal: Journal, state: State, ledger: Ledger, recent: Recent) -> None:
        self.stored = self.duplicates = 0
        """Events taken and passed over since the opening."""
        self._database = database
        self._journal = journal
        self._state = state
        self._ledger = ledger
        self._admission = Admission(state, recent)
        self._gate = Gate()  # guards the fold
        self._later: list[_Group] = []
        self._postponed = 0
        self._queue = threading.Lock()  # guards what follows
        self._wake = threading.Condition(self._queue)
        self._room = threading.Condition(self._queue)
        self._waiting: list[_Submission] = []
        self._notes = Notes()
        self._closed = self._broken = False
        self.follower = Follower(database, journal, state, ledger, self._gate)
        self._thread = threading.Thread(target=self._run, name="recengine-feedback", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Decisions that could not be recorded."""
        return self._notes.dropped

    @property
    def broken(self) -> bool:
        """Whether a fold failed: nothing is taken any more, and only another opening helps."""
        return self._broken

    # ------------------------------------------------------------------------------------------------ for callers

    def submit(self, frames: Sequence[Frame], done: Done) -> None:
        """Queue frames; `done` is called on the feedback thread, with an error where nothing was stored.

        Raises
        ------
        BadRequest : a text is no UTF-8.
        EngineFault : the engine is closed.
        StoreFailed : the database is too far behind.
        """
        try:
            payloads = [encode_frame(frame) for frame in frames]
        except UNFIT as err:
            raise BadRequest(f"a text or a number cannot be stored: {err}", hint="texts are UTF-8") from err
        if self._ledger.behind + self._postponed > QUEUE:
            raise StoreFailed("the database does not keep up; nothing was stored", hint="check the disk, try again")
        with self._queue:
            if self._closed:
                raise EngineFault("the engine is closed", hint="open it again")
            if self._broken:
                raise EngineFault(_BROKEN.message, hint=_BROKEN.hint)
            self._waiting.append(_Submission(frames, payloads, done))
            self._wake.notify()

    def put(self, frames: Sequence[Frame]) -> Receipt:
        """Store frames and return when they are durable and felt.

        Raises
        ------
        StoreFailed : the disk refused; nothing was stored.
        """
        ready = threading.Lock()
        ready.acquire()
        found: list[Receipt | RecEngineError] = []

        def done(result: Receipt | RecEngineError) -> None:
            found.append(result)
            ready.release()

        self.submit(frames, done)
        ready.acquire()
        if isinstance(found[0], RecEngineError):
            raise type(found[0])(found[0].message, hint=found[0].hint)
        return found[0]

    def note(self, frames: Sequence[DecisionFrame], *, patient: bool = False) -> None:
        """Record decisions without waiting for the disk; `patient` waits for room where too many wait."""
        with self._queue:
            first = not self._notes
            self._notes.add(frames)
            if first or self._notes.due:
                self._wake.notify()
            if patient:
                self._room.wait_for(lambda: self._notes.weight <= LIMIT or self._closed, timeout=PATIENCE)
            self._notes.bound()

    # ------------------------------------------------------------------------------------------------ for the engine

    def replay(self) -> int:
        """Fold what the journal holds beyond the database, at the opening; returns how many frames."""
        frames = 0
        for first, payloads in self._journal.read(self._state.seq):
            group = self._screened([decode_frame(payload) for payload in payloads])
            with self._gate:
                self._fold(first + len(payloads) - 1, group)
            frames += len(payloads)
            if self._ledger.behind >= BEHIND:
                self._ledger.flush()
        self.follower.mend()
        return frames

    def flush(self) -> None:
        """Write everything that was noted and folded to the journal and to DuckDB.

        Raises
        ------
        StoreFailed : the disk refused; it waits on.
        """
        if self._notes:
            self.put(())
        self._ledger.flush()
        self.follower.mend()

    @contextmanager
    def held(self, then: Callable[[], None]) -> Iterator[None]:
        """Keep the fold still, with all that was folded in DuckDB: an ingest gives rows and numbers meanwhile.

        Parameters
        ----------
        then : called at the end, before what was acknowledged meanwhile is folded: folds in what the block stored.
        """
        with self._gate:
            self._ledger.flush()
            self._gate.held, last = True, self._state.last_event
        try:
            yield
        finally:
            with self._gate:
                later, self._later, self._postponed = self._later, [], 0
                try:
                    then()
                    self._ledger.settled()
                    self._admission.recent.add(recent_event_ids(self._database, REMEMBERED, after=last))
                    for group in later:
                        self._fold(group.seq, group.frames)
                except BaseException:  # a fold without what the block stored would give rows twice
                    self._broken = True
                    for group in later:
                        self._tell(group.taken, [_BROKEN] * len(group.taken))
                    raise
                finally:
                    self._gate.held = False
            for group in later:
                self._tell(group.taken, group.receipts)

    def close(self) -> None:
        """Finish what waits, write it to DuckDB, and stop. Idempotent.

        Raises
        ------
        StoreFailed : DuckDB cannot write; the journal holds what it lacks.
        """
        with self._queue:
            if self._closed:
                return
            self._closed = True
            self._wake.notify()
            self._room.notify_all()
        self.follower.stop()
        self._thread.join()
        self.follower.join()
        try:
            self._ledger.flush()
        finally:
            self._journal.close()

    # ------------------------------------------------------------------------------------------------ inside

    def _run(self) -> None:
        while True:
            with self._queue:
                while not self._waiting and not self._closed:
                    if self._notes.due:
                        break
                    if not self._wake.wait(NOTED if self._notes else None) and self._notes:
                        break
                if self._closed and not self._waiting and not self._notes:
                    return
                taken, self._waiting = self._waiting, []
                notes = self._notes.take() if self._closed or self._notes.allowed else []
                self._room.notify_all()
            if self._broken:
                self._tell(taken, [_BROKEN] * len(taken))
                continue
            try:
                self._group(taken, notes)
            except Exception:  # whoever waits must be told, and the next must not wait for a thread that is gone
                log.exception("the fold failed: a defect; what was acknowledged is in the journal")
                self._broken = True
                self._tell(taken, [_BROKEN] * len(taken))

    def _group(self, taken: Sequence[_Submission], notes: Sequence[DecisionFrame]) -> None:
        """Make one group durable, fold it, and tell those who wait."""
        frames: list[Frame] = []
        payloads: list[bytes] = []
        results: list[Receipt | RecEngineError] = []
        for note in notes:  # before the others: nobody is noted after being forgotten
            try:
                payloads.append(encode_frame(note))
                frames.append(note)
            except UNFIT:  # half a surrogate pair in a wish: there is no way to keep it
                self._notes.dropped += 1
        told = len(frames)
        for submission in taken:
            try:
                counts = self._admission.screen(submission.frames)
            except BadRequest as err:
                results.append(err)
                continue
            frames += compress(submission.frames, counts)
            payloads += compress(submission.payloads, counts)
            results.append(Receipt(stored=sum(counts), duplicates=len(counts) - sum(counts)))
        try:
            first = self._journal.write(payloads) if payloads else 0
        except RecEngineError as err:
            self._admission.take_back(frames[told:])
            self._put_back(notes)
            self._tell(taken, [result if isinstance(result, RecEngineError) else err for result in results])
            return
        group = _Group(first + len(payloads) - 1, frames, taken, results)
        with self._gate:
            if self._gate.held:  # told when it is felt
                self._later.append(group)
                self._postponed += len(frames)
                return
            if payloads:
                self._fold(group.seq, frames)
        self._tell(taken, results)
        if self._ledger.behind >= BEHIND:
            self.follower.wake()

    def _put_back(self, notes: Sequence[DecisionFrame]) -> None:
        """Keep decisions for a journal that refused, unless there is no later."""
        with self._queue:
            if self._closed:
                self._notes.dropped += len(notes)
            else:
                self._notes.put_back(notes)

    def _screened(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """Leave out what could not be folded: a journal of another time must not keep an engine from opening."""
        try:
            return list(compress(frames, self._admission.screen(frames)))
        except BadRequest:
            kept: list[Frame] = []
            for frame in frames:
                try:
                    kept += compress((frame,), self._admission.screen((frame,)))
                except BadRequest as err:
                    log.error("a frame of the journal is passed over: %s", err)  # noqa: TRY400 - a frame, not a defect
            return kept

    def _fold(self, seq: int, frames: Sequence[Frame]) -> None:
        self._ledger.add(self._state.apply(seq, Group(frames)))

    def _tell(self, taken: Sequence[_Submission], results: Sequence[Receipt | RecEngineError]) -> None:
        for submission, result in zip(taken, results, strict=True):
            if isinstance(result, Receipt):
                self.stored += result.stored
                self.duplicates += result.duplicates
            try:
                submission.done(result)
            except Exception:  # one caller's trouble, such as an event loop that has ended, is not another's
                log.exception("a caller could not be told of its receipt")
