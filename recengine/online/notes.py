"""Decisions that wait for the journal: nobody waits for them, and they cost a bounded amount of memory.

Held by the loop (`feedback.py`), whose lock guards every call.
"""

import time
from collections import deque
from collections.abc import Sequence

from recengine.types.frames import DecisionFrame

__all__ = ("LIMIT", "Notes")

LIMIT = 200_000
"""Items in all decisions that wait, about 350 bytes each; beyond it the oldest decisions are dropped and counted."""
REFUSED = 1.0
"""Seconds that decisions wait after the journal refused."""


class Notes:
    """A bounded queue."""

    def __init__(self) -> None:
        self.dropped = 0
        """Decisions that could not be recorded."""
        self.weight = 0
        """Items in what waits, and one more for each."""
        self._waiting: deque[DecisionFrame] = deque()
        self._again = 0.0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def due(self) -> bool:
        """Whether so much waits that it should not wait for the next event, and the journal did not just refuse."""
        return self.weight > LIMIT // 2 and self.allowed

    @property
    def allowed(self) -> bool:
        """Whether the journal is to be bothered: not right after it refused."""
        return time.monotonic() >= self._again

    def add(self, frames: Sequence[DecisionFrame]) -> None:
        """Let decisions wait."""
        self._waiting.extend(frames)
        self.weight += sum(map(_weight, frames))

    def bound(self) -> None:
        """Drop the oldest where too much waits."""
        while self.weight > LIMIT and self._waiting:
            self.weight -= _weight(self._waiting.popleft())
            self.dropped += 1

    def take(self) -> list[DecisionFrame]:
        """Hand everything out."""
        taken = list(self._waiting)
        self._waiting.clear()
        self.weight = 0
        return taken

    def put_back(self, frames: Sequence[DecisionFrame]) -> None:
        """Let decisions that the journal refused wait on, before those that came since."""
        self._again = time.monotonic() + REFUSED
        self._waiting.extendleft(reversed(frames))
        self.weight += sum(map(_weight, frames))


def _weight(note: DecisionFrame) -> int:
    return 1 + len(note.items)
