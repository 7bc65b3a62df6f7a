"""What every factor model shares: the vectors that fitting leaves, and all that is answered from dot products of them.

Stands on floor 3, used by both spines. In: one vector a user and an item, and a way to fold a history in. Out: picks,
scores, neighbours, and the arrays of the model's folder. An algorithm is a `FactorModel`, holds one `Learned`, and
keeps its own `fit` and `explain`.

Why the fold is an object that the vectors are handed to, and not a method of the model: models and what they learned
would hold each other, and a deployment that is replaced would wait for the garbage collector.
"""

import math
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from recengine.arrays import Expected, read_array, write_arrays
from recengine.errors import NotFitted
from recengine.kernels import dot
from recengine.types import F32, I32, I64, Interactions, Mask, Query, TopN

__all__ = ("Expected", "FactorModel", "Fold", "Learned", "fitted", "grown", "histories", "read", "refolded", "unit")

BLOCK = 1024
"""Rows of one call of the dot kernel where a mask must be made up for them."""


class Fold(Protocol):
    """Computes vectors of histories, given the items' vectors."""

    def __call__(self, items: F32, history: Interactions, threads: int) -> F32:
        """Return float32 (B, width), one vector a row of `history`, NaN where it says nothing.

        `history` may name items without a vector: rows of NaN in `items`, or beyond its end.
        """
        ...


F = TypeVar("F", bound=Fold)


class Learned(Generic[F]):
    """What fitting leaves.

    Parameters
    ----------
    users, items : float32 (n_users, width) and (n_items, width), NaN rows where there is none; scores are dot products.
    fold : what gives changed and unknown users their vector.
    """

    def __init__(self, users: F32, items: F32, fold: F) -> None:
        self.users = users
        self.items = items
        self.fold = fold

    @cached_property
    def packed_items(self) -> dot.Packed:
        """The items as the dot kernel wants them, made on first use."""
        return dot.pack(self.items)

    @cached_property
    def unit_items(self) -> F32:
        """Items of length 1, NaN rows as in `items`."""
        return unit(self.items)

    @cached_property
    def packed_unit_items(self) -> dot.Packed:
        """`unit_items` as the dot kernel wants them."""
        return dot.pack(self.unit_items)

    @cached_property
    def packed_unit_users(self) -> dot.Packed:
        """Users of length 1, as the dot kernel wants them."""
        return dot.pack(unit(self.users))

    def vectors(self, query: Query, threads: int) -> F32:
        """Look up the vector of every row, or fold it in where the history is newer than it; (B, width), NaN = none.

        Worked out once a query: it is kept in `query.prepared`.
        """
        held: F32 | None = query.prepared.get(id(self))
        if held is None:
            held = query.prepared[id(self)] = self._looked_up(query, threads)
        return held

    def recommend(self, query: Query, n: int, mask: Mask, threads: int) -> TopN:
        """Pick the n items with the largest dot products among the allowed ones; see `Scorer.recommend`.

        Cost: B * n_items * width multiply-adds, and a fold-in for every changed or unknown user.
        """
        return dot.dot_topk(self.vectors(query, threads), self.packed_items, n, mask, threads=threads)

    def score(self, query: Query, indptr: I64, items: I32, threads: int) -> F32:
        """Score given items, float32, NaN where user or item has no vector; see `Scorer.score`."""
        return dot.dot_ragged(self.vectors(query, threads), self.packed_items, indptr, items, threads=threads)

    def similar_items(self, items: I32, n: int) -> TopN:
        """Pick the n items of largest cosine to each of `items`; NaN and -1 where an item has no vector."""
        known = (items >= 0) & (items < len(self.items))
        vectors = np.where(known[:, None], self.unit_items[np.where(known, items, 0)], np.float32(np.nan))
        return _others(vectors, items, self.packed_unit_items, len(self.items), n)

    def similar_users(self, query: Query, n: int) -> TopN:
        """Pick the n training users of largest cosine to each row of `query`, itself excluded."""
        return _others(unit(self.vectors(query, 1)), query.users, self.packed_unit_users, len(self.users), n)

    def item_vectors(self) -> F32:
        """Return unit-length item vectors (n_items, width) float32, zero rows where an item has none."""
        return np.asarray(np.nan_to_num(self.unit_items, nan=0.0), dtype=np.float32)

    def save(self, folder: Path, **more: npt.NDArray[np.generic]) -> None:
        """Write users.npy and items.npy, and what else the algorithm must keep."""
        write_arrays(folder, users=self.users, items=self.items, **more)

    def usable(self, history: Interactions, row: int) -> tuple[I32, F32]:
        """Return items and weights of one row of `history`: those that have a vector and weigh something."""
        mine = slice(int(history.indptr[row]), int(history.indptr[row + 1]))
        items, weights = history.items[mine], history.weights[mine]
        kept = (items < len(self.items)) & (weights != 0)
        kept[kept] &= ~np.isnan(self.items[items[kept], 0])
        return items[kept], weights[kept]

    def _looked_up(self, query: Query, threads: int) -> F32:
        users = self.users
        if len(query.users) == 1 and query.changed[0] == 0:  # one request: ten small numpy calls would be 10 us
            user = int(query.users[0])
            held = users[user : user + 1]
            if user >= 0 and len(held) and not math.isnan(held[0, 0]):
                return held
        known = (query.users >= 0) & (query.users < len(users))
        out = np.asarray(users[np.where(known, query.users, 0)], dtype=np.float32)
        rows = np.flatnonzero((query.changed != 0) | ~known | np.isnan(out[:, 0]))
        if len(rows):
            history = query.history if len(rows) == len(known) else histories(query.history, rows)
            out[rows] = self.fold(self.items, history, threads)
        return out


class _Named(Protocol):
    @property
    def name(self) -> str: ...


C = TypeVar("C", bound=_Named)


class FactorModel(Generic[C, F]):
    """What an algorithm answers from its `Learned` alone: everything but `fit`, `explain`, `save` and `load`.

    Parameters
    ----------
    config : its `[[model]]`.
    learned : None = not fitted yet.
    """

    kind: ClassVar[str]

    def __init__(self, config: C, learned: Learned[F] | None = None) -> None:
        self.config = config
        self._learned = learned

    def recommend(self, query: Query, n: int, mask: Mask, *, threads: int = 1) -> TopN:
        """Pick the n items with the largest dot products among the allowed ones; see `Scorer.recommend`."""
        return self._fitted().recommend(query, n, mask, threads)

    def score(self, query: Query, indptr: I64, items: I32, *, threads: int = 1) -> F32:
        """Score given items, float32, NaN where user or item has no vector; see `Scorer.score`."""
        return self._fitted().score(query, indptr, items, threads)

    def similar_items(self, items: I32, n: int) -> TopN:
        """Pick the n items of largest cosine to each of `items`; NaN and -1 where an item has no vector."""
        return self._fitted().similar_items(items, n)

    def similar_users(self, query: Query, n: int) -> TopN:
        """Pick the n training users of largest cosine to each row of `query`."""
        return self._fitted().similar_users(query, n)

    def item_vectors(self) -> F32:
        """Return unit-length item vectors (n_items, width) float32, zero rows where an item has none."""
        return self._fitted().item_vectors()

    def query_vectors(self, query: Query, *, threads: int = 1) -> F32:
        """Return the users' vectors (B, width) float32, NaN where there is none; see `Factors`."""
        return self._fitted().vectors(query, threads)

    def item_factors(self) -> F32:
        """Return the items' vectors (n_items, width) float32, NaN rows where an item has none; see `Factors`."""
        return self._fitted().items

    def _fitted(self) -> Learned[F]:
        return fitted(self._learned, self.kind, self.config.name)


def fitted(learned: Learned[F] | None, kind: str, name: str) -> Learned[F]:
    """Return what was learned.

    Raises
    ------
    NotFitted : nothing was; `kind` and `name` say by whom.
    """
    if learned is None:
        raise NotFitted(f"{kind} `{name}`: asked before it was fitted", hint="call fit or load first")
    return learned


def read(folder: Path, width: int, **more: Expected) -> tuple[npt.NDArray[Any], ...]:
    """Memory-map users.npy, items.npy and more arrays of a model's folder.

    Parameters
    ----------
    width : length of the vectors, as the configuration says.
    more : what is expected of the other arrays, by name, in the order in which they are returned.

    Raises
    ------
    BadArtifact : a file is missing, or has the wrong dtype or shape.
    """
    vectors: Expected = (np.float32, (None, width))
    wanted = {"users": vectors, "items": vectors} | more
    return tuple(read_array(folder, name, expected) for name, expected in wanted.items())


def unit(vectors: F32) -> F32:
    """Scale rows to length 1; rows of zeros and NaN become NaN."""
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(vectors / length[:, None], dtype=np.float32)


def grown(array: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
    """Copy an array and put rows of NaN at its end, until it has so many."""
    more = np.full((max(rows - len(array), 0), *array.shape[1:]), np.nan, array.dtype)
    return np.concatenate((array, more))


def refolded(users: F32, fold: Fold, items: F32, entries: Interactions, changed: I32, threads: int) -> F32:
    """Copy the users' vectors, and fold those in that changed or are new; `entries` are everybody's."""
    out = grown(users, entries.n_users)
    if len(changed):
        out[changed] = fold(items, histories(entries, changed), threads)
    return out


def histories(history: Interactions, rows: npt.NDArray[np.integer[Any]]) -> Interactions:
    """Take some rows of a batch of histories."""
    lengths = np.diff(history.indptr)[rows]
    ends = np.cumsum(lengths)
    flat = np.repeat(history.indptr[rows] - ends + lengths, lengths) + np.arange(lengths.sum())
    values = None if history.values is None else history.values[flat]
    indptr = np.concatenate(([0], ends)).astype(np.int64)
    return Interactions(
        len(rows), history.n_items, indptr, history.items[flat], history.weights[flat], history.times[flat], values
    )


def _others(vectors: F32, own: I32, packed: dot.Packed, count: int, n: int) -> TopN:
    """Pick the n best of all `count` rows for each vector, except its own."""
    parts = []
    for start in range(0, max(len(vectors), 1), BLOCK):
        block = slice(start, start + BLOCK)
        mask = np.ones((len(vectors[block]), count), dtype=np.uint8)
        rows = np.flatnonzero((own[block] >= 0) & (own[block] < count))
        mask[rows, own[block][rows]] = 0
        parts.append(dot.dot_topk(np.ascontiguousarray(vectors[block]), packed, n, mask))
    return TopN(np.concatenate([p.items for p in parts]), np.concatenate([p.scores for p in parts]))
