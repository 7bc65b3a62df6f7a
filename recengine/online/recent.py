"""Ids of the latest events, so that a repeated delivery counts once: at least the last `LIMIT` of them.

Two generations of hashes: when the newer is full it becomes the older, and the older is dropped; no list to keep in
order, and 24 h of a busy shop fit. Python's own hash of a text is SipHash with a key of the process: 64 bits, so that
two of 2 M ids meet with a chance of 1e-7, and nobody outside can make them meet.
"""

from collections.abc import Iterable

__all__ = ("LIMIT", "Recent")

LIMIT = 2_000_000
"""Ids that are remembered for sure; up to twice as many are. About 60 bytes each."""


class Recent:
    """Remembers ids. One thread."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._new: set[int] = set()
        self._old: set[int] = set()

    def __contains__(self, event_id: str) -> bool:
        key = hash(event_id)
        return key in self._new or key in self._old

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def add(self, ids: Iterable[str]) -> None:
        """Remember ids, the latest last."""
        self._new.update(map(hash, ids))
        if len(self._new) >= self._limit:
            self._old, self._new = self._new, set()

    def discard(self, ids: Iterable[str]) -> None:
        """Forget ids whose events could not be stored after all."""
        for event_id in ids:
            self._new.discard(hash(event_id))
            self._old.discard(hash(event_id))  # a generation may have ended in between
