"""The contract of every algorithm. The laws in tests/laws run over all that `registry.py` names.

A `Scorer` answers for a batch of B requests (`Query`) and never keeps a reference to what it is given. Rules for all of
them: NaN = not scored; higher = better; ties go to the lower item row; the same answer for any `threads` and any batch
size, bit for bit; `load(save(m))` answers bit-equal; no pickle, since to read one is to run it; `__init__` only stores
the configuration.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeAlias, TypeGuard, runtime_checkable

from recengine.types import F32, F64, I32, I64, Evidence, Mask, Query, TopN, TrainingData

__all__ = (
    "Costly",
    "Factors",
    "Incremental",
    "Progress",
    "Scorer",
    "SimilarItems",
    "SimilarUsers",
    "Trainable",
    "Turned",
    "Vectors",
    "costly",
)

Progress: TypeAlias = Callable[[int, int], None]
"""`progress(done, total)`, called from the fitting thread at most a few times a second."""


@runtime_checkable
class Scorer(Protocol):
    """Scores items for users."""

    kind: ClassVar[str]
    config: Any
    """The frozen Struct of `recengine.config` it was made from; `config.name` is its name."""

    def recommend(self, query: Query, n: int, mask: Mask, *, threads: int = 1) -> TopN:
        """Pick the n best items of every row of `query` among those with `mask[b, item] == 1`.

        Parameters
        ----------
        query : B rows.
        n : >= 1. Rows with fewer scorable items are padded with item -1 and score NaN.
        mask : (B, n_items) uint8, C order.

        Returns
        -------
        items (B, n) int32 and scores (B, n) float32, best first, equal scores by lower item row. Scores equal
        those of `score`.
        """
        ...

    def score(self, query: Query, indptr: I64, items: I32, *, threads: int = 1) -> F32:
        """Score given items: row b gets `items[indptr[b]:indptr[b + 1]]`; returns float32 of the same length."""
        ...

    def explain(self, query: Query, row: int, item: int, top: int = 3) -> tuple[Evidence, ...]:
        """Say what speaks for `item` in row `row` of `query`, strongest first; derived from what `score` used."""
        ...

    def save(self, folder: Path) -> None:
        """Write the learned state into the existing, empty `folder` with `arrays.write_arrays`."""
        ...

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        BadArtifact : a file is missing or has the wrong shape.
        """
        ...


@runtime_checkable
class Trainable(Protocol):
    """Learns from interactions."""

    def fit(self, data: TrainingData, *, seed: int = 0, threads: int = 0, progress: Progress | None = None) -> Self:
        """Learn; forgets earlier fits, keeps no reference to `data`, returns self. `threads` 0 = all cores.

        Raises
        ------
        EmptyData : nothing to learn from.
        """
        ...


@runtime_checkable
class SimilarItems(Protocol):
    """Knows which items are alike."""

    def similar_items(self, items: I32, n: int) -> TopN:
        """Pick the n most similar items of each of `items` (int32 (B,)), itself excluded."""
        ...


@runtime_checkable
class SimilarUsers(Protocol):
    """Knows which users are alike."""

    def similar_users(self, query: Query, n: int) -> TopN:
        """Pick the n most similar users of each row of `query` (user rows in `TopN.items`), itself excluded."""
        ...


@runtime_checkable
class Vectors(Protocol):
    """Has one vector an item, good for measuring variety."""

    def item_vectors(self) -> F32:
        """Return (n_items, d) float32 of unit length (zero rows where an item has none)."""
        ...


@runtime_checkable
class Factors(Protocol):
    """Scores are dot products: what the index of nearest neighbours can stand over."""

    def query_vectors(self, query: Query, *, threads: int = 1) -> F32:
        """Return (B, d) float32, one vector a row of `query`, NaN where there is none."""
        ...

    def item_factors(self) -> F32:
        """Return (n_items, d) float32 as learned, NaN rows where an item has none."""
        ...


@runtime_checkable
class Incremental(Protocol):
    """Learns what is new without learning all again."""

    def update(self, data: TrainingData, users: I32, items: I32, *, threads: int = 0) -> Self:
        """Return a new model that knows `data`; self, which goes on answering, stays as it is.

        Parameters
        ----------
        data : everything up to now; rows that self knows keep their numbers, new ones come after them.
        users, items : ascending int32; outside of these rows `data` says what self was fitted on.
        """
        ...


@runtime_checkable
class Turned(Protocol):
    """`Factors` whose update may turn all vectors at once, which changes no score."""

    def turn(self) -> F64 | None:
        """Return the orthogonal T, float64 (d, d): `item_factors` are those of the model that was updated, times T.

        But for the rows that were learned anew, and for rounding. None = it came from no update.
        """
        ...


@runtime_checkable
class Costly(Protocol):
    """Scores so dearly that it is asked for a shortlist alone; says itself, cheaply, which items are worth it.

    Its configuration has a `shortlist`: how many.
    """

    def candidates(self, query: Query, n: int, mask: Mask, *, threads: int = 1) -> TopN:
        """Pick n items worth scoring, as `Scorer.recommend` would; their scores are in no unit of `score`."""
        ...

    def rough(self, query: Query, indptr: I64, items: I32, *, threads: int = 1) -> F32:
        """Estimate given items as `Scorer.score` would, in any unit; NaN = not worth scoring."""
        ...


def costly(model: object) -> TypeGuard[Costly]:
    """Tell whether `model` is `Costly`. Cost: 0.1 us; `isinstance` of a protocol takes 2 us, for every model asked."""
    kind: Any = type(model)  # to the type checker a type of anything is not hashable
    return _costly(kind)


@cache
def _costly(kind: Any) -> bool:
    return issubclass(kind, Costly)
