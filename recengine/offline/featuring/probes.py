"""The rows of the training table: what users took up, and beside it what they could have taken up and did not.

On the offline spine, after `history.py`. In: `Past`. Out: `Drawn`: probes with their outcome, in groups of one taken
item and `features.negatives` others, oldest first.
"""

import msgspec
import numpy as np

from recengine.features.signals import ENGAGED
from recengine.offline.featuring.history import Past
from recengine.offline.featuring.table import Probes
from recengine.types import F32, I32, I64

__all__ = ("Drawn", "draw")

NEVER = np.iinfo(np.int64).max


class Drawn(msgspec.Struct, frozen=True):
    """m rows, groups oldest first."""

    probes: Probes
    taken: F32
    """(m,) 1 = the user took the item up, 0 = it was drawn beside that."""
    group: I32
    """(m,) ascending: rows of one moment of one user."""

    def take(self, rows: I64) -> "Drawn":
        """Return some of the rows, in the order of `rows`."""
        return Drawn(self.probes.take(rows), self.taken[rows], self.group[rows])


def draw(past: Past, rows: int, negatives: int, seed: int) -> Drawn:
    """Draw the latest engaged events, and items that were known before each.

    An item is known from its description or its first event on. The items beside an event are drawn evenly, each on its
    own, and never the one that was taken; an event before which no other item was known is left out. What a
    request told, and the position that its reply gave the item, counts for all rows of the event: by itself it tells no
    outcome.

    Parameters
    ----------
    rows : of the table at most.
    negatives : items beside every one that was taken.

    Cost: a sort of the engaged events and one of the items, 0.1 us a row.
    """
    said = past.signals
    engaged = np.flatnonzero(said.flags & ENGAGED)
    order = engaged[np.argsort(said.time[engaged], kind="stable")]
    latest = order[-max(1, rows // (1 + negatives)) :]
    known = past.described.copy()
    np.minimum.at(known, said.item, said.time + 1)  # an item's own first event makes it known right after
    by_known = np.argsort(known, kind="stable").astype(np.int32)
    n_known = np.searchsorted(known[by_known], said.time[latest], side="right")
    latest, n_known = latest[n_known > 1], n_known[n_known > 1]
    item, m = said.item[latest], len(latest)
    place = np.empty(len(known), np.int64)
    place[by_known] = np.arange(len(known))
    dice = np.random.default_rng((seed, m)).random((m, negatives))
    own = place[item]
    others = np.where(own < n_known, n_known - 1, n_known)[:, None]  # the item itself may have been new
    drawn = (dice * others).astype(np.int64)
    drawn += drawn >= np.where(own < n_known, own, NEVER)[:, None]
    items = np.concatenate((item[:, None], by_known[drawn]), axis=1).astype(np.int32)
    wide = 1 + negatives
    taken = np.zeros((m, wide), np.float32)
    taken[:, 0] = 1
    events = np.repeat(latest, wide)
    probes = Probes(said.user[events], items.reshape(-1), said.time[events], events)
    return Drawn(probes, taken.reshape(-1), np.repeat(np.arange(m, dtype=np.int32), wide))
