"""Stage 2, features: what the models need to know of each user. `Context` in, `Features` out.

The definitions stand in `features/`.
"""

import numpy as np

from recengine.config import Candidates, Serving
from recengine.features.described import described
from recengine.features.user import favourite_categories
from recengine.online.histories import Histories
from recengine.online.state import State
from recengine.online.trace import Trace
from recengine.types import Context, Features, Query

__all__ = ("FeatureService",)


class FeatureService:
    """Reads the fold and computes the features of a batch."""

    def __init__(self, state: State, serving: Serving, candidates: Candidates, last_seq: int) -> None:
        self._state = state
        self._limit = serving.history_limit
        self._category = serving.category
        self._favourites = candidates.categories
        self._last_seq = last_seq

    def of(self, context: Context, trace: Trace) -> Features:
        """Gather the histories of the batch.

        Marked as changed: users with events after the deployment's last one, and visitors it cannot know.
        """
        users = context.users.tolist()
        history = Histories.stack(context.histories, self._limit, context.items.n)
        changed = np.array(
            [held.last_seq > self._last_seq or row < 0 for held, row in zip(context.histories, users, strict=True)],
            np.uint8,
        )
        column = context.items.columns.get(self._category)
        if column is None or column.kind not in ("string", "strings"):
            favourites = np.empty((len(users), 0), np.int32)
        else:
            favourites = favourite_categories(history, column, self._favourites)
        attributes = {
            b: {**described(self._state.users, users[b]), **context.requests[b].context}
            for b in np.flatnonzero(context.cold).tolist()
        }
        trace.mark("features")
        return Features(Query(context.users, history, changed, context.now), favourites, attributes)
