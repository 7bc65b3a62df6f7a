"""The feature store: what features say now of a user and candidates, from memory.

Beside stage 2 of the online spine (`features.py`), which asks it. In: a user or visitor with a trail, items, a moment.
Out: float32, a row a feature, by the same kernels that made the training table.

Groups of features fill their part of one buffer, each by a call or two, whatever the number of items: counts of items
(`features/state.py`), columns of items (`item_columns.py`), pairs and co-visits, what is the same for all items
(`user_rows.py`, the context), and what is derived from any of these.
"""

from collections import deque
from collections.abc import Mapping

import numpy as np

from recengine.config import Config
from recengine.errors import NotFitted
from recengine.features.context import CONTEXT_VALUES, read_context
from recengine.features.covisits import COVISIT_VALUES
from recengine.features.definition import AttributeOf, Counted, Derived, Feature, FeatureSet, Timeline
from recengine.features.item import ITEM_VALUES
from recengine.features.lanes import Labels
from recengine.features.pairs import PAIR_VALUES
from recengine.features.session import SESSION_VALUES
from recengine.features.state import EventState
from recengine.features.timelines import NOTHING, Told
from recengine.features.trails import Trail
from recengine.features.transforms import Program
from recengine.features.user import USER_VALUES
from recengine.kernels.derive import OPERATIONS, derive
from recengine.online.item_columns import FAR, InForce, ItemColumns
from recengine.online.state import State
from recengine.online.user_rows import Asked, UserRows
from recengine.types import F32, I32, I64, Catalogue, Mask

__all__ = ("FeatureStore",)

_FAMILIES = {
    "item": ITEM_VALUES,
    "pair": PAIR_VALUES,
    "covisits": COVISIT_VALUES,
    "user": (*USER_VALUES, *SESSION_VALUES),
    "context": CONTEXT_VALUES,
}
_SPARE = 8
"""Buffers kept for the next requests: fresh memory costs a request 10 us, for its pages come one by one."""
_USUAL = 4096
"""Of requests with so many candidates at most."""


class FeatureStore:
    """Features of one `FeatureSet`, live. Thread-safe: it reads the fold, and keeps what it worked out.

    Parameters
    ----------
    state : keeps counting events (`features.enabled`).
    labels : what codes stand for, fitted with the deployment.
    told : timelines by feature, as they were last evaluated.
    program : how some of the features become the model's matrix; None = nobody asks for one.
    """

    def __init__(
        self,
        state: State,
        config: Config,
        features: FeatureSet,
        labels: Labels,
        told: Mapping[str, Told],
        program: Program | None = None,
    ) -> None:
        self._state = state
        self.program = program
        self.labels = labels
        self.features = features
        owned: dict[str, list[Feature]] = {"item": [], "user": [], "context": []}
        for feature in features.features:
            if isinstance(feature.how, AttributeOf | Timeline):
                owned[feature.how.owner].append(feature)
        self._items = ItemColumns(config, owned["item"], labels, told)
        self.users = UserRows(config, owned["user"], labels, told)
        self._of_context = owned["context"]
        self._moments: list[InForce] = []
        self.retell(told)
        self._plan(features, owned)
        kept = [features.names.index(name) for name in program.features] if program is not None else []
        self._kept: I32 = self._rows[kept].astype(np.int32)
        self._kept_constant = self.constant[kept]
        self._spare: deque[F32] = deque(maxlen=_SPARE)
        state.watching.add(self.users)

    def _plan(self, features: FeatureSet, owned: Mapping[str, list[Feature]]) -> None:
        """Give every group its rows of the buffer: those that differ by item, then those that do not, then derived."""
        counted = {f.how.value for f in features.features if isinstance(f.how, Counted)}
        self._of_items, self._of_pairs = _bits(ITEM_VALUES, counted), _bits(PAIR_VALUES, counted)
        wanted = {family: bool(counted & set(values)) for family, values in _FAMILIES.items()}
        place: dict[str, int] = {}
        at = 0

        def group(names: tuple[str, ...]) -> slice:
            nonlocal at
            first, at = at, at + len(names)
            place.update(zip(names, range(first, at), strict=True))
            return slice(first, at)

        def of(family: str) -> slice:
            return group(_FAMILIES[family] if wanted[family] else ())

        names = {owner: tuple(f"={f.name}" for f in mine) for owner, mine in owned.items()}
        self._tallies, self._columns = of("item"), group(names["item"])
        self._pairs, self._covisits = of("pair"), of("covisits")
        varying = at
        self._user = group((*_FAMILIES["user"], *names["user"]))
        self._context, self._timelines = of("context"), group(names["context"])
        self._same = slice(varying, at)
        plan: list[tuple[int, ...]] = []
        rows: dict[str, int] = {}
        constant: dict[str, bool] = {}
        for feature in features.features:
            how = feature.how
            if isinstance(how, Derived):
                a, b = how.of
                constant[feature.name] = constant[a] and constant[b]
                plan.append((OPERATIONS.index(how.op), rows[a], not constant[a], rows[b], not constant[b], at))
                rows[feature.name] = at
                at += 1
            else:
                rows[feature.name] = place[how.value if isinstance(how, Counted) else f"={feature.name}"]
                constant[feature.name] = rows[feature.name] >= varying
        self._size = at
        self._derived: I32 = np.array(plan, np.int32).reshape(-1, 6)
        self._rows: I64 = np.array(list(rows.values()), np.int64)
        self.constant: Mask = np.array(list(constant.values()), np.uint8)
        """(F,) uint8: 1 = the same for all items of a request."""
        self._repeated = np.flatnonzero(self.constant)

    def values(self, asked: Asked, items: I32, catalogue: Catalogue) -> F32:
        """Return all features of one user with n items.

        Parameters
        ----------
        items : (n,) int32 rows of the catalogue.

        Returns
        -------
        (F, n) float32, NaN = missing, a category is its code.
        """
        buffer = np.empty((self._size, len(items)), np.float32)
        self._fill(buffer, asked, items, catalogue)
        values: F32 = buffer.take(self._rows, axis=0)
        if len(items):
            values[self._repeated] = values[self._repeated, :1]
        return values

    def matrix(self, asked: Asked, items: I32, catalogue: Catalogue, out: F32 | None = None) -> F32:
        """Return the model's matrix for one user and n items, (n, width) float32: features, transformed.

        Missing values have their defaults, and are counted (`program.missing`), as categories are that training did
        not meet. Cost: see `bench/feature_matrix.py`.

        Raises
        ------
        NotFitted : there is no program.
        """
        if self.program is None:
            raise NotFitted("features were not fitted", hint="train with `features.enabled`")
        n = len(items)
        size = self._size * n
        try:
            memory = self._spare.pop()
        except IndexError:
            memory = np.empty(0, np.float32)
        if len(memory) < size:
            memory = np.empty(size, np.float32)
        buffer = memory[:size].reshape(self._size, n)
        self._fill(buffer, asked, items, catalogue)
        matrix = self.program.apply(buffer, self._kept_constant, out, self._kept)
        if n <= _USUAL:
            self._spare.append(memory)
        return matrix

    def _fill(self, buffer: F32, asked: Asked, items: I32, catalogue: Catalogue) -> None:
        """Fill the rows that features are made of; what is the same for all items stands in the first column alone."""
        state = self._counted()
        if len(items) == 0:
            return
        t = asked.t if state.trails.timed else FAR - 1  # where nothing has a moment, what is told last counts
        held = self._items.at(catalogue, t)
        if self._of_pairs:
            row, _ = self.users.of(asked, self._state, held.lanes, items, buffer[self._pairs], self._of_pairs)
        else:
            row, _ = self.users.of(asked, self._state, held.lanes)
        same = buffer[:, 0]
        same[self._user] = row.values
        if self._context.stop > self._context.start:
            same[self._context] = read_context(asked.t if state.trails.timed else 0, asked.told, self.labels)
        for k, timeline in enumerate(self._moments, start=self._timelines.start):
            same[k] = timeline.at(t, 1)[0][0]
        if self._of_items:
            state.tallies.read(items, asked.t, held.since, buffer[self._tallies], self._of_items)
        if self._columns.stop > self._columns.start:
            held.columns.take(items, axis=1, out=buffer[self._columns], mode="clip")
        if self._covisits.stop > self._covisits.start:
            state.covisits.strength(row.anchors, items, buffer[self._covisits.start])
        if len(self._derived):
            derive(buffer, self._derived)

    def retell(self, told: Mapping[str, Told]) -> None:
        """Go by other timelines from now on."""
        self._items.retell(told)
        self.users.retell(told)
        labels = self.labels
        self._moments = [InForce(told.get(f.name, NOTHING), labels.get(f.domain, ())) for f in self._of_context]

    def trail(self, user: int) -> Trail:
        """Return what a user did, as of the last event that was acknowledged."""
        return self._counted().trails.of_user(user)

    def _counted(self) -> EventState:
        counted = self._state.counted
        assert counted is not None  # noqa: S101 - nobody makes a store without
        return counted.settled()


def _bits(values: tuple[str, ...], wanted: set[str]) -> int:
    """Set a bit for each value that is wanted."""
    return sum(1 << k for k, value in enumerate(values) if value in wanted)
