"""Does a query see the future? Asked as if a moment were now, it must say what it says of that moment afterwards.

On the offline spine, beside `history.py`. In: features from queries, and what these find in all of history. Out: a
reason for every one that tells another story once later data are there: a feature made from the future looks brilliant
in training and is worth nothing when it serves.
"""

from collections.abc import Mapping

import numpy as np

from recengine.features.definition import FeatureSet, Timeline
from recengine.features.signals import BUCKET
from recengine.features.timelines import Told, coded, evaluate, in_force_at
from recengine.offline.featuring.history import Past
from recengine.store.database import Database
from recengine.types import I32, I64

__all__ = ("find_leaks",)

SHARES = (0.5, 0.8)
"""Of the probes' span: where the moments lie at which a query is asked again."""


def find_leaks(database: Database, features: FeatureSet, past: Past, times: I64) -> dict[str, str]:
    """Ask every query again as of two moments, and compare what counts then.

    Parameters
    ----------
    times : (m,) int64, the moments of the training table; the two lie among them, on the grid of the query.

    Returns
    -------
    {feature: reason} of those that say something else once later data are there. Cost: each query twice.
    """
    found: dict[str, str] = {}
    if not past.timed or len(times) == 0:  # without moments there is no before and after
        return found
    for feature in features.features:
        if not (isinstance(feature.how, Timeline) and feature.how.sql):
            continue
        every = feature.how.every * BUCKET
        asked = sorted({int(np.quantile(times, share)) // every * every for share in SHARES})
        for moment in asked:
            then = evaluate(database, feature, timed=True, as_of=moment - 1)
            rows = _differing(past.told[feature.name], then, moment)
            if len(rows):
                found[feature.name] = (
                    f"it sees the future: as of {np.datetime64(moment, 'us')} it gives {len(rows)} other values "
                    f"once later data are there"
                )
                break
    return found


def _differing(now: Told, then: Told, moment: int) -> I32:
    """List the rows whose value in force at `moment` differs between what is told now and what was told then."""
    n = max((int(told.row.max()) + 1 for told in (now, then) if len(told.row)), default=0)
    labels: Mapping[str, None] = dict.fromkeys((*(now.labels or ()), *(then.labels or ())))
    ours, theirs = (in_force_at(told, coded(told, tuple(labels)), n, moment) for told in (now, then))
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    return np.flatnonzero(~same).astype(np.int32)
