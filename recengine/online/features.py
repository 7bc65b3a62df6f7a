"""Stage 2, features: what the models need to know of each user. `Context` in, `Features` out.

The definitions stand in `features/`. What they say of a user with each candidate is worked out when a later stage asks
for it (`matrix`), since only that stage knows the pool: a model over features asks from `scoring`.
"""

from itertools import pairwise

import numpy as np

from recengine.config import Serving
from recengine.errors import NotFitted
from recengine.features.described import described
from recengine.features.lanes import Labels
from recengine.features.signals import Reading
from recengine.features.trails import Trail
from recengine.features.user import favourite_categories
from recengine.online.feature_store import FeatureStore
from recengine.online.histories import Histories
from recengine.online.state import State
from recengine.online.trace import Trace
from recengine.online.user_rows import Asked
from recengine.store.vocab import Vocabulary
from recengine.types import F32, I32, Context, EventColumns, Features, Pool, Query, Request

__all__ = ("FeatureService",)


class FeatureService:
    """Reads the fold and computes the features of a batch.

    Parameters
    ----------
    favourites : categories of a user that are worked out.
    store, items : for `matrix`: the deployment's features, live, and the names of items.
    """

    def __init__(
        self,
        state: State,
        serving: Serving,
        favourites: int,
        last_seq: int,
        store: FeatureStore | None = None,
        items: Vocabulary | None = None,
    ) -> None:
        self._state = state
        self.store = store
        """None = the deployment has no features."""
        self._names = items
        self._limit = serving.history_limit
        self._category = serving.category
        self._favourites = favourites
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

    def matrix(self, context: Context, pool: Pool) -> F32:
        """Return the matrix of the deployment's features for all candidates.

        Returns
        -------
        (len(pool.items), width) float32, rows as in the pool; `store.program.columns` names the columns.

        Raises
        ------
        NotFitted : the deployment has no features.

        Cost: for one request with 1,000 candidates see `bench/feature_matrix.py`.
        """
        store = self.fitted()
        assert store.program is not None  # noqa: S101 - `fitted` saw it
        out = np.empty((len(pool.items), store.program.width), np.float32)
        for b, (lo, hi) in enumerate(pairwise(pool.indptr.tolist())):
            store.matrix(self.asked(context, b), pool.items[lo:hi], context.items, out[lo:hi])
        return out

    def values(self, context: Context, items: I32) -> F32:
        """Return the deployment's features of the first request with n items, before any transform: float32 (F, n).

        Raises
        ------
        NotFitted : the deployment has no features.
        """
        return self.fitted().values(self.asked(context, 0), items, context.items)

    @property
    def labels(self) -> Labels:
        """What codes of categories stand for, by domain."""
        return self.fitted().labels

    def fitted(self) -> FeatureStore:
        """Return the store.

        Raises
        ------
        NotFitted : the deployment has no features.
        """
        if self.store is None:
            raise NotFitted("the live deployment has no features", hint="train with `features.enabled`")
        return self.store

    def asked(self, context: Context, b: int) -> Asked:
        """Say who asks by request b: a user, or a visitor, who did what its session and its request tell."""
        store, request, user = self.fitted(), context.requests[b], int(context.users[b])
        refused = bool(context.refused) and context.refused[b]
        trail = None
        if user < 0 and request.session_id is not None and not refused:
            trail = self._state.sessions.trail(request.session_id, context.now)
        if trail is None:
            trail = store.trail(user)
        if request.events and not refused:
            return Asked(user, self._extended(trail, request, context), context.now, request.context, own=False)
        return Asked(user, trail, context.now, request.context)

    def _extended(self, trail: Trail, request: Request, context: Context) -> Trail:
        """Add what a request tells: it happened just before."""
        names = tuple(dict.fromkeys(event.type for event in request.events))
        rows = [-1 if self._names is None else self._names.row(event.item_id) for event in request.events]
        told = [(row, event) for row, event in zip(rows, request.events, strict=True) if 0 <= row < context.items.n]
        n = len(told)
        said = Reading(names, self._state.rules).of(
            EventColumns(
                np.zeros(n, np.int64),
                np.zeros(n, np.int32),
                np.array([row for row, _ in told], np.int32),
                np.array([names.index(event.type) for _, event in told], np.int16),
                np.array([np.nan if event.value is None else event.value for _, event in told], np.float32),
                np.full(n, max(context.now - 1, int(trail.time[-1]) if len(trail.time) else 0), np.int64),
                names,
            )
        )
        return Trail(
            np.concatenate((trail.item, said.item)),
            np.concatenate((trail.time, said.time)),
            np.concatenate((trail.flags, said.flags)),
            np.concatenate((trail.amount, said.amount)),
            trail.timed,
        )
