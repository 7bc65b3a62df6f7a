"""Neural collaborative filtering (He et al. 2017), the side that answers; `models/` trains it, there is no torch here.

Stands on floor 3, used by both spines. In: who asks, which items. Out: a score an item, by one batched call of ONNX
Runtime for all candidates of a user. What the first layer says of an item is the same for everybody: it was computed at
export, so a candidate costs the layers above and one product.

An embedding of a user is `fold A + offset`: `fold` is the implicit-ALS vector of the history as it is now, `A` the
regression (ridge) that training found from those vectors to the embeddings it learned, `offset` what was left over for
this user, 0 for users that training did not know. So a new user gets an embedding from the items of the history, and
one who goes on acting moves on from the learned place.

Known of the context: time of day and day of the week of the request (sine and cosine, 0 where there is no clock time),
how many items the user engaged with, and how many users engaged with the item when trained. Training can reproduce
these for every past event.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec
import numpy as np
import numpy.typing as npt

from recengine import onnx
from recengine.algorithms.als import Als
from recengine.algorithms.base import Factors
from recengine.arrays import read_arrays, write_arrays
from recengine.config import Als as AlsConfig
from recengine.config import NeuralCf as NeuralCfConfig
from recengine.errors import BadArtifact, NotFitted
from recengine.kernels.als import rotate
from recengine.kernels.topk import topk_ragged
from recengine.types import F32, I32, I64, MICROSECONDS_FROM, Bools, Evidence, Mask, Query, TopN

__all__ = ("Card", "Learned", "NeuralCf", "item_context", "start_config", "user_context")

HISTORY_LIMIT = 500
"""Entries beyond these add nothing to a user's activity: serving sees so many by default."""
DAY = 86_400_000_000
"""Microseconds."""
CHUNK = 4096
"""Candidates of one call: 2 MiB of the first layer, which stay in the cache."""
CELLS = 1_000_000
"""Candidates that `recommend` scores before it picks."""
HINT = "train again, or roll back"


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What the graph is, when and from what it came, and how to tell that it is sound."""

    what: str
    trained: str
    """UTC, ISO 8601."""
    torch: str
    opset: int
    config: dict[str, Any]
    users: int
    items: int
    entries: int
    """Positive ones, that were learned from."""
    epochs: int
    """Chosen on the held-out part; 0 = nothing was learned that made the start better there."""
    history: list[float]
    """NDCG@10 on the held-out part before the first epoch and after each."""
    scale: float
    """Of the start's dot product in a score."""
    sha256: str
    """Of `network.onnx`."""
    golden: onnx.Golden


class Learned(msgspec.Struct, frozen=True):
    """What training leaves. W = width of the embeddings, H = of the first hidden layer."""

    start: Als
    offsets: F32
    """(n_users, W) float32: embedding minus what the regression gives; 0 where there is nothing."""
    regression: F32
    """(W, W) float32, from vectors of the start to embeddings."""
    item_hidden: F32
    """(n_items, H) float32: the item's part of the first layer; NaN rows where nothing was learned."""
    item_product: F32
    """(n_items, W) float32: embeddings times the weights of the product."""
    content: bytes
    """Of the ONNX graph."""
    card: Card


class NeuralCf:
    """Answers by a network that was trained elsewhere.

    Parameters
    ----------
    config : `recengine.config.NeuralCf`.
    """

    kind: ClassVar[str] = "neural_cf"

    def __init__(self, config: NeuralCfConfig) -> None:
        self.config = config
        self._network: _Network | None = None

    @classmethod
    def of(cls, config: NeuralCfConfig, learned: Learned) -> Self:
        """Stand over what training left.

        Raises
        ------
        BadArtifact : the graph does not give its golden output.
        """
        model = cls(config)
        model._network = _Network(learned)
        return model

    def recommend(self, query: Query, n: int, mask: Mask, *, threads: int = 1) -> TopN:
        """Pick the n best of all items; see `Scorer.recommend`.

        Cost: B * n_items * (H0 H1 + H1 H2) multiply-adds, 10,000 an item by default: 0.3 s for a user and 1 M items.
        """
        network = self._fitted()
        out = TopN(np.full((len(mask), n), -1, np.int32), np.full((len(mask), n), np.nan, np.float32))
        users = self._users(query, threads)
        width = min(mask.shape[1], len(network.able))
        allowed = (mask[:, :width] & network.able[:width]) == 1
        allowed[~users.able] = False
        step = max(1, CELLS // max(width, 1))
        for first in range(0, len(mask), step):
            block = allowed[first : first + step]
            row, item = np.nonzero(block)
            scores = network.run(users, row + first, item, threads)
            indptr = np.concatenate(([0], np.cumsum(block.sum(axis=1)))).astype(np.int64)
            kept, positions = topk_ragged(scores, indptr, n, threads=threads)
            taken = np.diff(kept)
            at = (np.repeat(np.arange(first, first + len(taken)), taken), _ranks(taken))
            out.items[at], out.scores[at] = item[positions], scores[positions]
        return out

    def score(self, query: Query, indptr: I64, items: I32, *, threads: int = 1) -> F32:
        """Score given items, log-odds; NaN where user or item has no embedding; see `Scorer.score`."""
        network = self._fitted()
        users = self._users(query, threads)
        if len(users.able) == 1 and users.able[0] and network.knows(items):  # one request: six array calls less
            return network.run(users, np.zeros(len(items), np.int64), items, threads)
        out = np.full(len(items), np.nan, np.float32)
        row = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        known = (items >= 0) & (items < len(network.able)) & users.able[row]
        known[known] &= network.able[items[known]] == 1
        out[known] = network.run(users, row[known], items[known], threads)
        return out

    def candidates(self, query: Query, n: int, mask: Mask, *, threads: int = 1) -> TopN:
        """Pick n items worth scoring, by the dot products that the network started from; see `Costly`."""
        return self._fitted().learned.start.recommend(query, n, mask, threads=threads)

    def rough(self, query: Query, indptr: I64, items: I32, *, threads: int = 1) -> F32:
        """Score given items by the dot products that the network started from; see `Costly`."""
        return self._fitted().learned.start.score(query, indptr, items, threads=threads)

    def item_vectors(self) -> F32:
        """Return the start's unit-length item vectors, for measuring variety; see `Vectors`."""
        return self._fitted().learned.start.item_vectors()

    def explain(self, query: Query, row: int, item: int, top: int = 3) -> tuple[Evidence, ...]:
        """Split the score: what the start says for each item of the history, and what the network adds (`model`).

        A network has no exact split over a history; the start, which is linear in it, has one (see `Als.explain`).
        """
        learned = self._fitted().learned
        one = np.zeros(len(query.users) + 1, np.int64)
        one[row + 1 :] = 1
        score = float(self.score(query, one, np.array([item], np.int32))[0])
        if np.isnan(score):
            return ()
        start = learned.start.explain(query, row, item, top=query.history.n_items)
        shares = [Evidence(e.kind, e.item, e.weight * learned.card.scale) for e in start if e.weight > 0]
        rest = Evidence("model", -1, score - sum(share.weight for share in shares))
        return tuple(sorted([*shares, rest], key=lambda e: -e.weight)[:top])

    def save(self, folder: Path) -> None:
        """Write network.onnx, card.json, four arrays, and the start as ALS writes itself."""
        learned = self._fitted().learned
        learned.start.save(folder)
        write_arrays(folder, **{name: getattr(learned, name) for name in _ARRAYS})
        (folder / "network.onnx").write_bytes(learned.content)
        (folder / "card.json").write_bytes(msgspec.json.format(msgspec.json.encode(learned.card), indent=2))

    @classmethod
    def load(cls, config: NeuralCfConfig, folder: Path) -> Self:
        """Read what `save` wrote: nothing is parsed whose digest the card does not confirm.

        Raises
        ------
        BadArtifact : a file is missing or damaged, or the graph does not give its golden output.
        """
        try:
            card = msgspec.json.decode((folder / "card.json").read_bytes(), type=Card)
            content = (folder / "network.onnx").read_bytes()
        except (OSError, msgspec.DecodeError) as err:
            raise BadArtifact(f"{folder.name}/card.json, network.onnx: {err}", hint=HINT) from err
        start = Als.load(start_config(config), folder)
        arrays = dict(zip(_ARRAYS, read_arrays(folder, *_ARRAYS), strict=True))
        width = start.item_factors().shape[1]
        shapes = (card.users, width), (width, width), (card.items, config.layers[0]), (card.items, width)
        for (name, array), shape in zip(arrays.items(), shapes, strict=True):
            if array.dtype != np.float32 or array.shape != shape:
                where = f"{folder.name}/{name}.npy"
                raise BadArtifact(f"{where}: expected float32 {shape}, got {array.dtype} {array.shape}", hint=HINT)
        return cls.of(config, Learned(start, content=content, card=card, **arrays))

    def _fitted(self) -> "_Network":
        if self._network is None:
            name = self.config.name
            raise NotFitted(f"neural_cf `{name}`: asked before it was trained", hint="train or load first")
        return self._network

    def _users(self, query: Query, threads: int) -> "_Users":
        """Work out embeddings and contexts of the rows, once a query."""
        network = self._fitted()
        held = query.prepared.get(id(self))
        if not isinstance(held, _Users) or held.network is not network:
            held = query.prepared[id(self)] = network.users(query, threads)
        return held


_ARRAYS = ("offsets", "regression", "item_hidden", "item_product")


class _Users(msgspec.Struct, frozen=True):
    """B rows: `embedding` (B, W), `context` (B, C), `able` (B,): there is an embedding; by which network."""

    network: Any
    embedding: F32
    context: F32
    able: Bools


class _Network:
    """The graph over its tables."""

    def __init__(self, learned: Learned) -> None:
        self.learned = learned
        self.graph = onnx.load(learned.content, learned.card.sha256, learned.card.golden, where="network.onnx")

    @cached_property
    def able(self) -> Mask:
        """Which items have an embedding, uint8 (n_items,)."""
        return (~np.isnan(self.learned.item_hidden[:, 0])).astype(np.uint8)

    def knows(self, items: I32) -> bool:
        """Tell whether all items have an embedding."""
        return bool(len(items) and items.min() >= 0 and items.max() < len(self.able) and self.able[items].all())

    def users(self, query: Query, threads: int) -> _Users:
        """Compute `fold A + offset`; a row without a vector of the start has no embedding."""
        learned = self.learned
        start: Factors = learned.start
        vectors = np.array(start.query_vectors(query, threads=threads), np.float32, order="C")
        able = ~np.isnan(vectors[:, 0])
        vectors[~able] = 0
        rotate(vectors, learned.regression)
        history = query.history
        if len(able) == 1:  # one request: ten array calls less
            user, counts = int(query.users[0]), np.array([np.count_nonzero(history.weights > 0)])
            if 0 <= user < len(learned.offsets):
                vectors[0] += learned.offsets[user]
        else:
            known = np.flatnonzero((query.users >= 0) & (query.users < len(learned.offsets)))
            vectors[known] += learned.offsets[query.users[known]]
            engaged = np.concatenate(([0], np.cumsum(history.weights > 0)))
            counts = engaged[history.indptr[1:]] - engaged[history.indptr[:-1]]
        return _Users(self, vectors, user_context(np.full(len(able), query.now, np.int64), counts), able)

    def run(self, users: _Users, row: I64, item: Any, threads: int) -> F32:
        """Score pairs of row and item, rows rising, float32 (N,): one call for all candidates of a row."""
        ends = [*(np.flatnonzero(row[1:] != row[:-1]) + 1).tolist(), len(row)] if len(row) else []
        starts = [0, *ends[:-1]]
        spans = zip(starts, ends, strict=False)
        pieces = [(a, min(a + CHUNK, end)) for start, end in spans for a in range(start, end, CHUNK)]
        item = np.asarray(item, np.int64)
        out = np.empty(len(row), np.float32)

        def score(piece: tuple[int, int]) -> None:
            first, last = piece
            out[first:last] = self._of_row(users, int(row[first]), item[first:last])

        if threads > 1 and len(pieces) > 1:
            with ThreadPoolExecutor(min(threads, len(pieces))) as workers:
                list(workers.map(score, pieces))
        else:
            for piece in pieces:
                score(piece)
        return out

    def _of_row(self, users: _Users, row: int, item: I64) -> F32:
        """Score items for one row. One alone is doubled: ONNX Runtime sums a single row in another order than many."""
        inputs: dict[str, npt.NDArray[Any]] = {
            "user": users.embedding[row : row + 1],
            "context": users.context[row : row + 1],
            "item": item if len(item) > 1 else np.concatenate((item, item)),
            "item_hidden": self.learned.item_hidden,
            "item_product": self.learned.item_product,
        }
        return self.graph.run(inputs)[: len(item)]


def _ranks(counts: I64) -> I64:
    """Count from 0 within every ragged row."""
    ends: I64 = np.cumsum(counts)
    return np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(ends - counts, counts)


def start_config(config: NeuralCfConfig) -> AlsConfig:
    """Say how the implicit ALS is fitted that both embeddings start from."""
    return AlsConfig(name=config.name, factors=config.factors)


def user_context(times: I64, engaged: I64) -> F32:
    """Say what is known of the user and the moment, float32 (m, 5): clock, then activity.

    Parameters
    ----------
    times : microseconds; an order below `MICROSECONDS_FROM` is no clock time.
    engaged : how many entries of positive weight the user has.
    """
    rows = [(*_clock(t), _activity(n)) for t, n in zip(times.tolist(), engaged.tolist(), strict=True)]
    return np.array(rows, np.float32).reshape(-1, 5)


def _clock(time: int) -> tuple[float, float, float, float]:
    """Turn a moment into points on two circles; in plain Python, for one request must not pay for ten array calls."""
    if time < MICROSECONDS_FROM:
        return 0.0, 0.0, 0.0, 0.0
    day, week = (2 * math.pi * (time % period) / period for period in (DAY, 7 * DAY))
    return math.sin(day), math.cos(day), math.sin(week), math.cos(week)


def _activity(engaged: int) -> float:
    return math.log1p(min(engaged, HISTORY_LIMIT)) / math.log1p(HISTORY_LIMIT)


def item_context(engaged: I64) -> F32:
    """Say what is known of items, float32 (n_items, 1): popularity as of training, 0..1."""
    share: F32 = (np.log1p(engaged) / np.log1p(max(int(engaged.max(initial=0)), 1))).astype(np.float32)
    return share[:, None]
