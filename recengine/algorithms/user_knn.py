"""User-KNN: the items of like-minded users, over the cosine of their histories.

Offline spine: `fit` takes the interactions. Online spine: `recommend` and `score` take a batch of histories. What
counts as evidence, and when a score is 0.0 or NaN, is as in `algorithms/knn.py`.
"""

from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np

from recengine.algorithms.base import Progress
from recengine.algorithms.similarity import (
    Space,
    any_known,
    check_csr,
    check_shapes,
    latest,
    nearest,
    nearest_of,
    positive_rows,
    silence,
    space_of,
    strength,
    taken,
)
from recengine.arrays import read_arrays, write_arrays
from recengine.config import UserKnn as UserKnnConfig
from recengine.errors import NotFitted
from recengine.kernels.knn import Csr, neighbors, sum_at, sum_top, unit_rows
from recengine.types import F32, I32, I64, Bools, Evidence, Mask, Query, TopN, TrainingData

__all__ = ("UserKnn",)


class _Users(NamedTuple):
    near: TopN
    """(n_users, k) neighbours of the users of training."""
    history: Csr
    """User -> items with strengths."""
    space: Space
    """Users as unit vectors over items."""
    known: Mask
    """(n_items,) 1 = had a positive entry in training."""


class UserKnn:
    """Score an item by how like the asker are those who engaged with it (Resnick et al. 1994, for implicit feedback).

    score(u, i) = sum over the k users v nearest to u of sim(u, v) * strength(w_vi), for w_vi > 0, where
    sim(u, v) = <u, v> / (|u| |v| + s) over the users' weighted entries, s as in ItemKnn. A user of training with an
    unchanged history has neighbours at hand; for any other they are found on the fly through the users of each history
    item, which gives the same for the same history.
    """

    kind: ClassVar[str] = "user_knn"

    def __init__(self, config: UserKnnConfig) -> None:
        self.config = config
        self._learned: _Users | None = None

    def fit(self, data: TrainingData, *, seed: int = 0, threads: int = 0, progress: Progress | None = None) -> Self:
        """Find every user's neighbours. Nothing is random: `seed` changes nothing.

        Cost: one multiply-add for every pair of users of every item.

        Raises
        ------
        EmptyData : no entry has weight > 0.
        """
        del seed
        users = positive_rows(data.interactions, self.config.history_limit, self.kind)
        space, unit = space_of(users, data.interactions.n_items, self.config.weighting)
        shrinkage = self.config.shrinkage * space.square
        k = self.config.neighbors
        found = nearest(unit, space.postings, space.norms, k, shrinkage, threads=threads, progress=progress)
        parts = [(best.items, best.scores) for best in found]
        near = TopN(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        self._learned = self._of(near, users, space)
        return self

    def update(self, data: TrainingData, users: I32, items: I32, *, threads: int = 0) -> Self:  # noqa: ARG002
        """Find the neighbours of the changed users again, among all users; see `Incremental.update`.

        The others keep theirs; what their neighbours engaged with is up to date for all.

        Cost: as `fit`, for the pairs that hold a changed user.
        """
        held, model = self._fitted().near, type(self)(self.config)
        rows = positive_rows(data.interactions, self.config.history_limit, self.kind)
        space, unit = space_of(rows, data.interactions.n_items, self.config.weighting)
        shrinkage, k = self.config.shrinkage * space.square, self.config.neighbors
        found = nearest_of(users, unit, space.postings, space.norms, k, shrinkage, threads=threads)
        near = TopN(np.full((rows.n, k), -1, np.int32), np.full((rows.n, k), np.nan, np.float32))
        for all_rows, kept, new in ((near.items, held.items, found.items), (near.scores, held.scores, found.scores)):
            all_rows[: len(kept)] = kept
            all_rows[users] = new
        gone = np.diff(rows.indptr) == 0
        near.items[gone], near.scores[gone] = -1, np.nan
        model._learned = self._of(near, rows, space)  # noqa: SLF001 - one of ours
        return model

    def recommend(self, query: Query, n: int, mask: Mask, *, threads: int = 1) -> TopN:
        """Pick the n best items with a score > 0; see `Scorer.recommend`.

        Cost: neighbours x their history length, whatever the catalogue's size.
        """
        learned = self._fitted()
        _, rows, _ = self._near(query, threads)
        return sum_top(rows, learned.history, len(learned.known), mask, n, threads=threads)

    def score(self, query: Query, indptr: I64, items: I32, *, threads: int = 1) -> F32:
        """Score given items; see `Scorer.score`."""
        learned = self._fitted()
        _, rows, usable = self._near(query, threads)
        scores = sum_at(rows, learned.history, learned.known, indptr, items, threads=threads)
        return silence(scores, indptr, usable)

    def explain(self, query: Query, row: int, item: int, top: int = 3) -> tuple[Evidence, ...]:
        """Say that similar users engaged with it, in one sum: who they are stays untold."""
        ends = np.where(np.arange(len(query.users) + 1) > row, 1, 0).astype(np.int64)
        score = float(self.score(query, ends, np.array([item], np.int32))[0])
        return (Evidence("similar_users", weight=score),)[:top] if score > 0 else ()

    def similar_users(self, query: Query, n: int) -> TopN:
        """Pick the n most similar users of training for each row; at most `neighbors` are known."""
        near, _, _ = self._near(query, 1)
        width = min(n, near.items.shape[1])
        out = TopN(np.full((len(near.items), n), -1, np.int32), np.full((len(near.items), n), np.nan, np.float32))
        out.items[:, :width], out.scores[:, :width] = near.items[:, :width], near.scores[:, :width]
        return out

    def latest_items(self, n: int) -> Csr:
        """Return the n latest items of every user of training, each with value 1; they are at most `history_limit`."""
        history = self._fitted().history
        lengths = np.diff(history.indptr)
        kept = np.arange(len(history.cols)) >= np.repeat(history.indptr[1:] - n, lengths)
        indptr = np.concatenate(([0], np.cumsum(np.minimum(lengths, n)))).astype(np.int64)
        items = np.ascontiguousarray(history.cols[kept])
        return Csr(indptr, items, np.ones(len(items), np.float32))

    def save(self, folder: Path) -> None:
        """Write neighbours, histories and the users of every item into `folder`."""
        near, history, space, _ = self._fitted()
        write_arrays(
            folder, neighbors=near.items, similarities=near.scores, indptr=history.indptr, items=history.cols,
            strengths=history.values, postings=space.postings.indptr, users=space.postings.cols,
            units=space.postings.values, norms=space.norms, rarity=space.rarity,
            scales=np.array([space.average, space.square]),
        )  # fmt: skip

    @classmethod
    def load(cls, config: UserKnnConfig, folder: Path) -> Self:
        """Read what `save` wrote, memory-mapped.

        Raises
        ------
        BadArtifact : a file is missing or damaged.
        """
        near = TopN(*read_arrays(folder, "neighbors", "similarities"))
        norms, rarity, scales = read_arrays(folder, "norms", "rarity", "scales")
        history = check_csr(
            f"{folder.name}/items", Csr(*read_arrays(folder, "indptr", "items", "strengths")), len(rarity)
        )
        postings = check_csr(f"{folder.name}/users", Csr(*read_arrays(folder, "postings", "users", "units")), history.n)
        check_shapes(
            folder,
            neighbors=near.items.dtype == np.int32 and near.items.ndim == 2 and len(near.items) == history.n,
            similarities=near.scores.dtype == np.float32 and near.scores.shape == near.items.shape,
            norms=norms.dtype == np.float32 and norms.shape == (history.n,),
            rarity=rarity.dtype == np.float32 and rarity.shape == (postings.n,),
            scales=scales.dtype == np.float64 and scales.shape == (2,) and bool(scales.min() > 0),
        )
        model = cls(config)
        known = (np.diff(postings.indptr) > 0).astype(np.uint8)
        model._learned = _Users(near, history, Space(postings, norms, rarity, *scales.tolist()), known)
        return model

    def _of(self, near: TopN, users: Csr, space: Space) -> _Users:
        history = users._replace(values=strength(users.values, self.config.weighting))
        return _Users(near, history, space, (np.diff(space.postings.indptr) > 0).astype(np.uint8))

    def _fitted(self) -> _Users:
        if self._learned is None:
            raise NotFitted(f"{self.config.name}: asked before it was fitted or loaded", hint="call fit or load first")
        return self._learned

    def _near(self, query: Query, threads: int) -> tuple[TopN, Csr, Bools]:
        """Return each row's neighbours (B, k), the same as sparse rows, and whether it has a usable history (B,)."""
        held: tuple[TopN, Csr, Bools] | None = query.prepared.get(id(self))
        if held is None:
            near, usable = self._found(query, threads)
            held = query.prepared[id(self)] = near, _as_rows(near), usable
        return held

    def _found(self, query: Query, threads: int) -> tuple[TopN, Bools]:
        stored, history, space, known = self._fitted()
        if len(query.users) == 1 and query.changed[0] == 0 and 0 <= query.users[0] < history.n:  # one request, at hand
            user = int(query.users[0])
            mine = slice(user, user + 1)
            usable = np.array([history.indptr[user + 1] > history.indptr[user]])
            return TopN(stored.items[mine], stored.scores[mine]), usable
        trained = (query.users >= 0) & (query.users < history.n)
        at_hand = trained & (query.changed == 0)
        rows = np.where(at_hand, query.users, 0)
        items, scores = stored.items[rows], stored.scores[rows]
        usable = history.indptr[rows + 1] > history.indptr[rows]
        fresh = np.flatnonzero(~at_hand)
        if len(fresh):
            entries = latest(query.history, self.config.history_limit)
            if len(fresh) < len(rows):
                entries = taken(entries, fresh)
            values, norms = unit_rows(entries, space.rarity, weighting=self.config.weighting, average=space.average)
            own = np.where(trained[fresh], query.users[fresh], -1).astype(np.int32)
            near = neighbors(
                entries._replace(values=values), own, norms, space.postings, space.norms, stored.items.shape[1],
                shrinkage=self.config.shrinkage * space.square, threads=threads,
            )  # fmt: skip
            items[fresh], scores[fresh] = near.items, near.scores
            usable[fresh] = any_known(entries, known)
        return TopN(items, scores), usable


def _as_rows(near: TopN) -> Csr:
    """See padded neighbours as sparse rows; the kernels pass over -1."""
    width = near.items.shape[1]
    return Csr(np.arange(len(near.items) + 1, dtype=np.int64) * width, near.items.ravel(), near.scores.ravel())
