"""Cold users: what is known of people like them, as candidates and as evidence.

A user's attributes are known as plain values (online, where they may have changed or come with the request) or as what
the source knew when it was trained (offline, `attributes` None).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from recengine.algorithms.demographic import Demographic
from recengine.retrieval.deployment import Deployment
from recengine.types import F32, I32, Bools, Mask, Pool

__all__ = ("Attributes", "alike", "lifts")

Attributes = Mapping[int, Mapping[str, Any]] | None
"""What is known of the user of each cold row; None = what the source knew at training."""


def alike(source: Demographic, users: I32, mask: Mask, n: int, cold: Bools, attributes: Attributes) -> I32:
    """List what users with the same attributes like, for the cold rows; (B, n), -1 elsewhere."""
    out = np.full((len(mask), n), -1, np.int32)
    rows = np.flatnonzero(cold)
    if attributes is None:
        out[rows] = source.recommend_rows(users[rows], n, mask[rows]).items
    else:
        for row in rows.tolist():
            out[row] = source.recommend_for(attributes[row], n, mask[row]).items[0]
    return out


def lifts(deployment: Deployment, pool: Pool, users: I32, cold: Bools, attributes: Attributes) -> F32 | None:
    """Say what the attributes of cold users add to the log-odds of each candidate; None where no row is cold.

    log P(item | group) - log P(item) summed over the user's groups: Bayes' factor under independence, on top of the
    prior that popularity gives.
    """
    source = deployment.demographic
    rows = np.flatnonzero(cold).tolist()
    if source is None or not rows:
        return None
    out = np.zeros(len(pool.items), np.float32)
    for row in rows:
        part = slice(int(pool.indptr[row]), int(pool.indptr[row + 1]))
        items = pool.items[part]
        out[part] = (
            source.lift_row(int(users[row]), items) if attributes is None else source.lift_for(attributes[row], items)
        )
    return out
