"""Training of `neural_cf`: interactions -> a network, and how it came to be. Offline only.

The latest share of every user's entries is set aside. Implicit ALS is fitted on the rest; the network starts from it
and learns from what was set aside: what a user takes next, given what ALS makes of the past. NDCG over users it does
not learn from says after which epoch to stop. Then ALS is fitted on everything and takes the place of the start.

Why the network never learns from what its start was fitted on: the vectors of ALS know these pairs by heart. A network
on top learns to trust the product more than it deserves; NDCG fell below the start's with the first steps.

Why the start can be exchanged: factors are the same up to a rotation, and the one that fits best (orthogonal
Procrustes, Schoenemann 1966) turns the new ones into the coordinates that the network knows.
"""

import time

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from recengine.algorithms.als import Als
from recengine.algorithms.base import Progress
from recengine.algorithms.liked import liked
from recengine.algorithms.neural import item_context, start_config, user_context
from recengine.config import NeuralCf as NeuralCfConfig
from recengine.errors import TrainingFailed
from recengine.models.entries import Entries
from recengine.models.neural_cf import NeuralCf
from recengine.types import F32, I32, I64, Interactions, Query, TrainingData

__all__ = ("SCALE", "VERSION", "Learnt", "train")

VERSION = str(torch.__version__)
"""Of PyTorch, for the card."""

SCALE = 10.0
"""Of the start's dot product, about 0..1, in a score."""
LATE = 0.2
"""Share of every user's entries that the network learns from, the latest."""
CELLS = 4_000_000
"""Users x items of one mask."""
AT = 10
RIDGE = 0.01
"""Of the regression from vectors of the start to shifts of users' embeddings; in mean squares of a vector."""
PULL = 0.1
"""What the start is worth to an embedding, in entries: its loss grows by `regularization` * this * squared shift."""


class Learnt(msgspec.Struct, frozen=True):
    """What training leaves."""

    network: NeuralCf
    """Over everything."""
    start: Als
    """Over everything."""
    regression: F32
    """(F, F) float32: what the start makes of a history, times this, is about the user's embedding."""
    offsets: F32
    """(n_users, F) float32: what is left over."""
    item_context: F32
    entries: int
    epochs: int
    history: list[float]
    """NDCG on the held-out users: of the start, and after each epoch; empty where there were none."""


def train(
    config: NeuralCfConfig, data: TrainingData, *, seed: int = 0, threads: int = 1, progress: Progress | None = None
) -> Learnt:
    """Learn from `data`; the same seed and threads give the same bits.

    Raises
    ------
    EmptyData : no entry has a positive weight.
    TrainingFailed : an entry has no finite weight, or the loss or the network is no longer finite.

    Cost: of an epoch, 6 (1 + negatives) (F H0 + H0 H1 + H1 H2) flops for a fifth of the entries; two fits of ALS.
    """
    rows = data.interactions
    liked(rows, "neural_cf")
    entries = Entries.of(rows)
    early, late = entries.split(LATE)
    torch.manual_seed(seed)
    steps = config.epochs + 2
    told = _Told(progress, steps)
    past = msgspec.structs.replace(data, interactions=early.rows())
    start = Als(start_config(config)).fit(past, seed=seed, threads=threads)
    told(1)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    session = _Session(config, start, early, late, seed)
    try:
        epochs, history = session.run(told)
    finally:
        torch.set_num_threads(before)
    whole = Als(start_config(config)).fit(data, seed=seed, threads=threads)
    network, regression, offsets = _restarted(session.network, start, whole, rows.n_users)
    told(steps)
    context = item_context(np.bincount(entries.items, minlength=rows.n_items))
    return Learnt(network, whole, regression, offsets, context, len(entries.users), epochs, history)


class _Session:
    """One run over the late entries."""

    def __init__(self, config: NeuralCfConfig, start: Als, early: Entries, late: Entries, seed: int) -> None:
        self.config = config
        self.rng = np.random.default_rng(seed)
        self.held, self.late = late.apart(config.validation_share, self.rng)
        self.early = early
        users, items = _vectors(start, early.n_users)
        self.network = NeuralCf(
            torch.from_numpy(users), torch.from_numpy(items), config.layers,
            dropout=config.dropout, user_context=5, item_context=1, scale=SCALE,
        )  # fmt: skip
        self.activity = np.bincount(early.users, minlength=early.n_users)
        self.item_context = torch.from_numpy(item_context(np.bincount(early.items, minlength=early.n_items)))
        self.able = np.flatnonzero(~np.isnan(start.item_factors()[:, 0]))
        """Items that ALS knows: the others have no vector to start from, and are not drawn."""
        self.start = start
        self.shortlists = self._shortlists()

    def run(self, told: "_Told") -> tuple[int, list[float]]:
        """Learn epoch by epoch until it is no longer better, and go back to the best."""
        if len(self.late.users) == 0:
            return 0, []
        network, config = self.network, self.config
        shifts = [network.users.shift.weight, network.items.shift.weight]
        layers = [p for p in network.parameters() if all(p is not shift for shift in shifts)]
        optimizers = [
            torch.optim.Adam(layers, lr=config.learning_rate, weight_decay=config.regularization),
            torch.optim.SparseAdam(shifts, lr=config.learning_rate),
        ]
        history = [self._ndcg()] if len(self.held.users) else []
        best, kept = 0, _copy(network)
        for epoch in range(1, config.epochs + 1):
            self._epoch(optimizers, epoch)
            told(epoch + 1)
            if not history:
                best = epoch
                continue
            history.append(self._ndcg())
            if history[-1] > history[best]:
                best, kept = epoch, _copy(network)
            elif epoch - best >= config.patience:
                break
        if history:
            network.load_state_dict(kept)
        return best, history

    def _epoch(self, optimizers: list[torch.optim.Optimizer], epoch: int) -> None:
        self.network.train()
        late, config = self.late, self.config
        order = self.rng.permutation(len(late.users))
        for first in range(0, len(order), config.batch):
            rows = order[first : first + config.batch]
            user = late.users[rows]
            negatives = self.able[self.rng.integers(0, len(self.able), (len(rows), config.negatives))]
            item = np.column_stack((late.items[rows], negatives))
            taken = late.engaged(np.repeat(user, config.negatives), negatives.ravel()).reshape(negatives.shape)
            context = torch.from_numpy(user_context(late.times[rows], self.activity[user]))
            users, items = torch.from_numpy(user), torch.from_numpy(item)
            scores = self.network(users, context, items, self.item_context[items])
            loss = _softmax(scores, torch.from_numpy(taken))
            pull = config.regularization * PULL * len(self.late.users) / config.batch
            loss = loss + pull * self.network.drift(users, items)
            if not torch.isfinite(loss):
                raise TrainingFailed(
                    f"neural_cf `{config.name}`: the loss is {float(loss.detach())} in epoch {epoch}",
                    hint="lower `learning_rate`, or look for huge event weights",
                )
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()

    def _shortlists(self) -> tuple[I64, I32]:
        """List what the start would have scored for held-out users, by what they had before: users, (users, n)."""
        early, users = self.early, np.unique(self.held.users)
        n = min(self.config.shortlist, early.n_items)
        picked = []
        for first in range(0, len(users), size := max(1, CELLS // early.n_items)):
            some = users[first : first + size]
            mask = np.ones((len(some), early.n_items), np.uint8)
            for row, user in zip(mask, some, strict=True):
                row[early.of_user(user)] = 0
            picked.append(self.start.recommend(_asking(some), n, mask).items)
        return users, np.concatenate(picked) if picked else np.empty((0, n), np.int32)

    def _ndcg(self) -> float:
        """Rank the shortlists of the held-out users, as serving does; NDCG of what they took later."""
        self.network.eval()
        users, listed = self.shortlists
        gains = 1 / np.log2(np.arange(2, AT + 2))
        ideal = np.cumsum(gains)
        first = np.searchsorted(self.held.users, users)
        context = user_context(self.held.times[first], self.activity[users])
        total = 0.0
        for rows in np.array_split(np.arange(len(users)), len(users) // 32 + 1):
            items = np.maximum(listed[rows], 0).astype(np.int64)
            asked = (torch.from_numpy(users[rows]), torch.from_numpy(context[rows]), torch.from_numpy(items))
            with torch.no_grad():
                scores = self.network(*asked, self.item_context[asked[2]]).numpy()
            order = np.argsort(np.where(listed[rows] >= 0, -scores, np.inf), axis=1, kind="stable")[:, :AT]
            for user, top in zip(users[rows], np.take_along_axis(listed[rows], order, 1), strict=True):
                wanted = self.held.of_user(user)
                total += gains[: len(top)][np.isin(top, wanted)].sum() / ideal[min(len(wanted), AT) - 1]
        return float(total / len(users))


class _Told:
    """Reports progress, at most a few times a second, and the end."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._last = progress, total, 0.0

    def __call__(self, done: int) -> None:
        if self._progress is not None and (done == self._total or time.monotonic() - self._last > 0.25):
            self._last = time.monotonic()
            self._progress(done, self._total)


def _softmax(scores: Tensor, taken: Tensor) -> Tensor:
    """Compute the sampled softmax: column 0 against the others, but for those that the user took too.

    scores (B, 1 + negatives), taken (B, negatives) bool.
    """
    negatives = scores[:, 1:].masked_fill(taken, -torch.inf)
    return -functional.log_softmax(torch.cat((scores[:, :1], negatives), 1), 1)[:, 0].mean()


def _copy(network: NeuralCf) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _vectors(start: Als, n_users: int) -> tuple[F32, F32]:
    """Copy the vectors of users and items, zeros where there is none."""
    everybody = np.arange(n_users)
    return np.nan_to_num(start.query_vectors(_asking(everybody))), np.nan_to_num(start.item_factors())


def _asking(users: I64) -> Query:
    """Ask for users that the start knows: by their rows, without a history."""
    n = len(users)
    no_items, no_weights, no_times = np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.int64)
    nothing = Interactions(n, 0, np.zeros(n + 1, np.int64), no_items, no_weights, no_times)
    return Query(users.astype(np.int32), nothing, np.zeros(n, np.uint8), 0)


def _restarted(network: NeuralCf, before: Als, after: Als, n_users: int) -> tuple[NeuralCf, F32, F32]:
    """Put the network on the start `after`, turned to lie as `before` did.

    Returns the network, the regression from vectors of `after` to embeddings, and each user's rest.
    """
    _, old = _vectors(before, 0)
    users, items = _vectors(after, n_users)
    left, _, right = np.linalg.svd(items.astype(np.float64).T @ old.astype(np.float64))
    rotation = (left @ right).astype(np.float32)
    state = network.state_dict()
    state["users.start"], state["items.start"] = torch.from_numpy(users @ rotation), torch.from_numpy(items @ rotation)
    network.load_state_dict(state)
    network.eval()
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise TrainingFailed("neural_cf: a weight is no longer finite", hint="lower `learning_rate`")
    shift = network.users.shift.weight.detach().numpy()
    gram = users.astype(np.float64).T @ users
    ridge = RIDGE * max(float(np.trace(gram)), 1e-12) / len(gram)
    regression = (rotation + np.linalg.solve(gram + ridge * np.eye(len(gram)), users.T @ shift)).astype(np.float32)
    offsets = network.users.table().numpy() - users @ regression
    offsets[~users.any(axis=1)] = 0
    return network, regression, offsets
