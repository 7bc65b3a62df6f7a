"""Co-visitation: how strongly an item goes with what the user did last, the same in training and serving.

Below both spines. In: engaged events. Out: pairs for the live counts, the anchors of a user, and, for training, the
value of many (user, item, time) at once. An engaged event pairs its item with the items of the user's `SPAN` engaged
events before it, whatever the time between. What may be counted from the order of events alone works as well where the
order is no time.

Late events change which events stand next to one another: all pairs of the user are taken out (`pairs_of` with sign
-1) and come in again. Forgetting takes them out for good. Counts are whole numbers, so nothing is left behind.
"""

import numpy as np

from recengine.features.signals import ENGAGED, Signals
from recengine.kernels.covisits import Covisits
from recengine.kernels.covisits import sweep as _sweep
from recengine.types import F32, I32, I64, Bools

__all__ = ("COVISIT_VALUES", "SPAN", "Covisits", "anchors_of", "covisits_of", "pairs_of", "sweep")

COVISIT_VALUES = ("pair_covisits",)
"""Names of what is counted here; of the family `pair`."""
SPAN = 2
"""An engaged event is paired with so many before it (a window of word2vec's kind, Mikolov et al. 2013; Barkan 2016)."""


def pairs_of(
    items: I32, users: I32 | None = None, fresh: Bools | None = None, since: int = 0
) -> tuple[I32, I32]:
    """List the pairs of items that engaged events make.

    Parameters
    ----------
    items : int32 (n,), of engaged events in the order (user, time, seq).
    users : int32 (n,); None = all of one user.
    fresh : bool (n,): only pairs whose later event is one of these; None = all.
    since : only pairs whose later event stands at `since` or after: what events at the end add. `SPAN` events
        before them are enough then.

    Returns
    -------
    the later items and the earlier ones, int32 (m,) each, ready for `Covisits.add`. Cost: O(n).
    """
    later, earlier = [], []
    for back in range(1, SPAN + 1):
        first = max(back, since)
        now, then = items[first:], items[first - back : max(len(items) - back, 0)]
        differ = now != then
        if users is not None:
            differ &= users[first:] == users[first - back : max(len(items) - back, 0)]
        if fresh is not None:
            differ &= fresh[first:]
        later.append(now[differ])
        earlier.append(then[differ])
    return np.concatenate(later), np.concatenate(earlier)


def anchors_of(items: I32, n: int) -> I32:
    """Return the items of a user's last n engaged events, latest first; one that repeats counts at its latest place.

    Parameters
    ----------
    items : int32, of the user's engaged events, oldest first.
    n : >= 1, `features.anchors`.
    """
    return np.array(list(dict.fromkeys(items[: -n - 1 : -1].tolist())), np.int32)


def covisits_of(signals: Signals, n_items: int) -> Covisits:
    """Count a whole history, ordered by (user, time, seq). Cost: two sorts of 4 entries an event."""
    engaged = np.flatnonzero(signals.flags & ENGAGED)
    counts = Covisits(n_items)
    counts.add(*pairs_of(signals.item[engaged], signals.user[engaged]))
    return counts


def sweep(signals: Signals, items: I32, users: I32, times: I64, anchors: int, out: F32) -> None:
    """Fill in `pair_covisits` of many probes, each as of its own moment: events at that moment are not seen yet.

    Parameters
    ----------
    signals : in any order; of one user at one moment, in the order of seq.
    items, users, times : int32, int32, int64 (m,), in any order; user -1 = nobody.
    anchors : `features.anchors`.
    out : float32 (1, m) or (m,).

    Cost: about 1 us an event and probe; releases the GIL.
    """
    engaged = np.flatnonzero(signals.flags & ENGAGED)
    seen = signals.take(engaged)
    out[...] = _sweep(seen.user, seen.item, seen.time, users, items, times, anchors, SPAN)
