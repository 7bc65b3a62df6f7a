"""How good the pool is before anything is scored: what share of the held-out items it holds, and thanks to whom.

A part of `validate`: no model can rank an item that no source brought. In: the pools as `rank` gathers them, and the
held-out items. Out: `PoolReport`.
"""

from collections import Counter

import msgspec
import numpy as np

from recengine.offline.build import Rows
from recengine.offline.choose import targets_of
from recengine.types import I32, Pool

__all__ = ("PoolReport", "PoolTally", "SourceRecall")


class SourceRecall(msgspec.Struct, frozen=True, kw_only=True):
    """What one source brought."""

    name: str
    items: float
    """Candidates a user, mean."""
    held: int
    """Held-out items that it found, whoever else did."""
    alone: int
    """Held-out items that no other source found."""


class PoolReport(msgspec.Struct, frozen=True, kw_only=True):
    """What share of the held-out items the pool holds."""

    users: int
    targets: int
    """Held-out items of these users."""
    held: int
    """Of these, in the pool."""
    items: float
    """Candidates a user, mean."""
    sources: tuple[SourceRecall, ...]
    """In the order in which they are asked."""

    @property
    def recall(self) -> float:
        """`held` of `targets`, 0..1."""
        return self.held / self.targets if self.targets else 0.0


class PoolTally:
    """Adds batches of pools up.

    Parameters
    ----------
    targets : the held-out items of all users that will be added.
    """

    def __init__(self, targets: Rows) -> None:
        self._targets = targets
        self._users = self._wanted = self._held = self._items = 0
        self._brought: Counter[str] = Counter()
        self._found: Counter[str] = Counter()
        self._alone: Counter[str] = Counter()

    def add(self, users: I32, pool: Pool) -> None:
        """Count the pools of `users` (B,). Cost: a binary search for each held-out item, a pass for each source."""
        indptr, items = targets_of(self._targets, users)
        row = np.arange(len(users), dtype=np.int64)
        width = 1 + max(int(items.max(initial=0)), int(pool.items.max(initial=0)))
        wanted = np.repeat(row, np.diff(indptr)) * width + items
        pooled = np.repeat(row, np.diff(pool.indptr)) * width + pool.items  # ascending: rows are, and items within
        found = pool.sources[np.isin(pooled, wanted, assume_unique=True)]
        self._users += len(users)
        self._wanted += len(items)
        self._held += len(found)
        self._items += len(pool.items)
        for s, name in enumerate(pool.names):
            bit = np.uint32(1 << s)
            self._brought[name] += int(np.count_nonzero(pool.sources & bit))
            self._found[name] += int(np.count_nonzero(found & bit))
            self._alone[name] += int(np.count_nonzero(found == bit))

    def report(self) -> PoolReport:
        """Say what was counted."""
        users = max(self._users, 1)
        sources = tuple(
            SourceRecall(name=name, items=brought / users, held=self._found[name], alone=self._alone[name])
            for name, brought in self._brought.items()
        )
        return PoolReport(
            users=self._users, targets=self._wanted, held=self._held, items=self._items / users, sources=sources
        )
