"""Popularity: all-time, trending, latest and per category; the floor that every other model must beat.

Stands on both spines: trained offline, a candidate source and a scorer online. In: `TrainingData`. Out: one score an
item, the same for every user, and precomputed orders. Only entries with a positive weight count.

Why precomputed orders: a request walks an order until it has met n allowed items, so it costs microseconds and never
sorts the catalogue.
"""

from pathlib import Path
from typing import ClassVar, Literal, Self

import msgspec
import numpy as np

from recengine.algorithms.base import Progress
from recengine.algorithms.liked import liked
from recengine.algorithms.priors import untouched
from recengine.algorithms.standing import Tally, clock_of, descending, growth, standing
from recengine.arrays import read_arrays, write_arrays
from recengine.config import Popularity as PopularityConfig
from recengine.errors import BadArtifact, NotFitted
from recengine.kernels.walk import walk
from recengine.types import (
    F32,
    F64,
    I32,
    I64,
    MICROSECONDS_FROM,
    NO_TIME,
    Catalogue,
    Evidence,
    Mask,
    Query,
    TopN,
    TrainingData,
)

__all__ = ("Popularity",)

_ARRAYS = (
    "all_time",
    "trending",
    "scores",
    "order",
    "popular_order",
    "trending_order",
    "latest_order",
    "counts",
    "recent",
    "category_indptr",
    "category_items",
    "clock",
)


class _Learned(msgspec.Struct, frozen=True):
    """Scores float32 (n_items,), 0..1; orders int32 (n_items,) and CSR rows of categories, best first."""

    all_time: F32
    trending: F32
    scores: F32
    order: I32
    popular_order: I32
    trending_order: I32
    latest_order: I32
    counts: F64
    recent: F64
    category_indptr: I64
    category_items: I32
    clock: F64
    category_labels: tuple[str, ...]


class Popularity:
    """Score items by how much everybody engages with them.

    Score = (1 - trending_share) * all_time + trending_share * trending, both log1p of weighted counts over the log1p
    of the largest, so 0..1. An item of the catalogue that nobody engaged with counts the prior of its category, less
    than any that somebody did (`algorithms/priors.py`); 0, a real and lowest score, where items have no category. An
    item that came after training is not scored (NaN).
    """

    kind: ClassVar[str] = "popularity"

    def __init__(self, config: PopularityConfig) -> None:
        self.config = config
        self._learned: _Learned | None = None

    def fit(
        self,
        data: TrainingData,
        *,
        seed: int = 0,  # noqa: ARG002 - nothing here is random
        threads: int = 0,  # noqa: ARG002 - one pass over the entries
        progress: Progress | None = None,
        category: str = "category",
    ) -> Self:
        """Count; `category` names the item attribute (string or strings) of the per-category orders.

        Latest: an item is as old as its first version or its first event, whichever came first. Where the feed's
        order is not in microseconds the two cannot be compared: then the first version decides, and the first event
        orders the rest.

        Raises
        ------
        EmptyData : no entry has a positive weight.
        TrainingFailed : a weight is not finite.

        Cost: a few passes over the entries, four sorts of n_items.
        """
        entries = data.interactions
        keep = np.flatnonzero(liked(entries, self.kind))
        items, times = entries.items[keep], entries.times[keep]
        weights = entries.weights[keep].astype(np.float64)
        clock = clock_of(times, self.config.half_life_days)
        counts = _sums(items, weights, entries.n_items)
        counts += untouched(counts, data.items.columns.get(category))
        recent = _sums(items, weights * growth(times, *clock), entries.n_items)
        all_time, trending, scores = standing(counts, recent, self.config.trending_share)
        indptr, members, labels = _by_category(data.items, category, scores)
        self._learned = _Learned(
            all_time,
            trending,
            scores,
            descending(scores),
            descending(all_time),
            descending(trending),
            _newest_first(data.items, items, times, entries.n_items),
            counts,
            recent,
            indptr,
            members,
            np.array(clock),
            labels,
        )
        if progress is not None:
            progress(1, 1)
        return self

    def update(
        self,
        data: TrainingData,
        users: I32,  # noqa: ARG002 - counting all again costs less than knowing what to add
        items: I32,  # noqa: ARG002
        *,
        threads: int = 0,
        category: str = "category",
    ) -> Self:
        """Count again: the same as a new `fit` on `data`; see `Incremental.update`."""
        return type(self)(self.config).fit(data, threads=threads, category=category)

    def recommend(self, query: Query, n: int, mask: Mask, *, threads: int = 1) -> TopN:  # noqa: ARG002
        """Walk the order of every row until n allowed items are met; `mask` may be wider than the trained catalogue.

        Cost: grows with the position of the n-th allowed item, not with the catalogue.
        """
        learned = self._fitted()
        first = np.zeros((len(query.users), 1), np.int32)
        picked = walk(np.array([0, len(learned.order)]), learned.order, first, mask, n)
        scores = learned.scores[picked]
        scores[picked < 0] = np.nan
        return TopN(picked, scores)

    def score(self, query: Query, indptr: I64, items: I32, *, threads: int = 1) -> F32:  # noqa: ARG002
        """Look the scores of `items` up; float32 (len(items),), NaN for items that came after training."""
        scores = self._fitted().scores
        try:  # asking first whether all are known would cost more than the look-up
            return scores[items]
        except IndexError:
            known = items < len(scores)
            out = np.full(len(items), np.nan, dtype=np.float32)
            out[known] = scores[items[known]]
            return out

    def explain(self, query: Query, row: int, item: int, top: int = 3) -> tuple[Evidence, ...]:  # noqa: ARG002
        """Split the score into its all-time and its trending part, larger first; parts of 0 are left out."""
        learned = self._fitted()
        if not 0 <= item < len(learned.scores):
            return ()
        share = self.config.trending_share
        parts = (
            Evidence("popular", weight=(1 - share) * float(learned.all_time[item])),
            Evidence("trending", weight=share * float(learned.trending[item])),
        )
        return tuple(sorted((p for p in parts if p.weight > 0), key=lambda p: -p.weight))[:top]

    def ranking(self, kind: Literal["popular", "trending", "latest"]) -> I32:
        """Return all trained items, int32 (n_items,): by all-time count, by decayed count, or newest first."""
        learned = self._fitted()
        orders = {"popular": learned.popular_order, "trending": learned.trending_order, "latest": learned.latest_order}
        return orders[kind]

    def category_ranking(self, category: str) -> I32:
        """Return the items of `category`, int32, best score first; empty where no trained item has it."""
        learned = self._fitted()
        if category not in learned.category_labels:
            return np.empty(0, dtype=np.int32)
        row = learned.category_labels.index(category)
        return learned.category_items[learned.category_indptr[row] : learned.category_indptr[row + 1]]

    @property
    def tally(self) -> Tally:
        """The sums that the scores were made of."""
        learned = self._fitted()
        return Tally(learned.counts, learned.recent, *learned.clock.tolist())

    @property
    def category_labels(self) -> tuple[str, ...]:
        """The categories that trained items have, in the order of the catalogue's labels."""
        return self._fitted().category_labels

    def save(self, folder: Path) -> None:
        """Write the arrays, and the category labels as UTF-8 JSON bytes, into `folder`."""
        learned = self._fitted()
        labels = np.frombuffer(msgspec.json.encode(learned.category_labels), dtype=np.uint8)
        write_arrays(folder, labels=labels, **{name: getattr(learned, name) for name in _ARRAYS})

    @classmethod
    def load(cls, config: PopularityConfig, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        BadArtifact : a file is missing or has the wrong shape.
        """
        arrays = {
            name: np.asarray(a)
            for name, a in zip((*_ARRAYS, "labels"), read_arrays(folder, *_ARRAYS, "labels"), strict=True)
        }
        try:
            labels = msgspec.json.decode(arrays.pop("labels").tobytes(), type=tuple[str, ...])
        except msgspec.DecodeError as err:
            raise BadArtifact(
                f"{folder.name}/labels.npy: expected JSON bytes: {err}", hint="train again, or roll back"
            ) from err
        learned = _Learned(**arrays, category_labels=labels)
        n = learned.all_time.shape
        sizes = {getattr(learned, name).shape for name in _ARRAYS[:9]}
        others = (learned.category_indptr.shape, learned.clock.shape)
        if len(n) != 1 or sizes != {n} or others != ((len(labels) + 1,), (3,)):
            raise BadArtifact(
                f"{folder.name}: the arrays of popularity disagree in length", hint="train again, or roll back"
            )
        model = cls(config)
        model._learned = learned
        return model

    def _fitted(self) -> _Learned:
        if self._learned is None:
            raise NotFitted(f"model {self.config.name!r} has not been fitted", hint="call fit or load first")
        return self._learned


def _sums(items: I32, weights: F64, n_items: int) -> F64:
    return np.asarray(np.bincount(items, weights, minlength=n_items), dtype=np.float64)


def _newest_first(catalogue: Catalogue, items: I32, times: I64, n_items: int) -> I32:
    last = np.iinfo(np.int64).max
    first_event = np.full(n_items, last, dtype=np.int64)
    known = times != NO_TIME
    np.minimum.at(first_event, items[known], times[known])
    first_event[first_event == last] = NO_TIME
    since = np.full(n_items, NO_TIME, dtype=np.int64)
    since[: len(catalogue.since)] = catalogue.since[:n_items]
    if first_event.max(initial=NO_TIME) >= MICROSECONDS_FROM:
        both = (since != NO_TIME) & (first_event != NO_TIME)
        since = np.where(
            both, np.minimum(since, first_event), np.maximum(since, first_event)
        )  # the one known where one is not
    rows = np.arange(n_items)
    return np.lexsort((rows, ~first_event, ~since)).astype(np.int32)  # ~x falls as x grows, and never overflows


def _by_category(catalogue: Catalogue, attribute: str, scores: F32) -> tuple[I64, I32, tuple[str, ...]]:
    """Group items by the labels of `attribute`: CSR of items, best score first, and the labels that occur."""
    column = catalogue.columns.get(attribute)
    if column is None or column.kind not in ("string", "strings"):
        return np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.int32), ()
    if column.indptr is None:
        rows = np.flatnonzero(column.data >= 0)
        codes = column.data[rows]
    else:
        rows = np.repeat(np.arange(catalogue.n), np.diff(column.indptr))
        codes = column.data
    pairs = np.unique(
        np.stack((codes.astype(np.int64), rows.astype(np.int64))), axis=1
    )  # a label may stand twice in one item
    codes, rows = pairs
    order = np.lexsort((rows, -scores[rows], codes))
    present, sizes = np.unique(codes, return_counts=True)
    indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    return indptr, rows[order].astype(np.int32), tuple(column.labels[c] for c in present)
