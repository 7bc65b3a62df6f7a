"""Which entries a model can learn liking from, and what is said where there are none, or where a weight is no number.

Stands under every algorithm that trains on weights. In: interactions, and the name of the kind that asks. Out: a mark
for each entry of positive weight. Why one place: the same data must be refused by every kind, in the same words, and a
NaN that one kind drops in silence would be a hole in another.
"""

import numpy as np

from recengine.errors import EmptyData, TrainingFailed
from recengine.types import Bools, Interactions

__all__ = ("liked",)


def liked(rows: Interactions, kind: str) -> Bools:
    """Mark the entries of positive weight, bool (n,). Cost: two passes over the weights.

    Raises
    ------
    TrainingFailed : a weight is not finite; the first such entry is named.
    EmptyData : no weight is above 0.
    """
    lost = ~np.isfinite(rows.weights)
    if lost.any():
        first = int(lost.argmax())
        user = int(np.searchsorted(rows.indptr, first, side="right")) - 1
        raise TrainingFailed(
            f"{kind}: {int(lost.sum())} entries have no finite weight; "
            f"that of user row {user} and item row {rows.items[first]} is {rows.weights[first]}",
            hint="look for event weights or values that are not finite numbers",
        )
    positive = rows.weights > 0
    if not positive.any():
        raise EmptyData(f"{kind}: no interaction has a positive weight", hint="ingest events whose type has weight > 0")
    return np.asarray(positive, dtype=np.bool_)
