"""Small data for properties and laws: interactions, catalogues, queries and masks; drawn by hypothesis or made by a seed."""

import numpy as np
from hypothesis import strategies as st

from recengine.types import NO_TIME, Catalogue, Column, Interactions, Query, TrainingData

DAY = 86_400_000_000
EPOCH = 1_700_000_000_000_000
"""A moment of 2023 in microseconds."""


def interactions(rows, n_items):
    """Build interactions from `rows`: one list of (item, weight, time) a user, items unique, oldest first.

    The weight is the rating too, for the models that learn from ratings.
    """
    entries = [entry for row in rows for entry in row]
    return Interactions(
        len(rows),
        n_items,
        np.cumsum([0, *map(len, rows)]).astype(np.int64),
        np.array([e[0] for e in entries], dtype=np.int32),
        np.array([e[1] for e in entries], dtype=np.float32),
        np.array([e[2] for e in entries], dtype=np.int64),
        np.array([e[1] for e in entries], dtype=np.float32),
    )


def catalogue(n, columns=None):
    return Catalogue(n, columns or {}, np.ones(n, np.uint8), np.full(n, NO_TIME, np.int64))


def training_data(rows, n_items):
    """What an algorithm learns from: items fall in three categories."""
    entries = interactions(rows, n_items)
    category = Column("string", (np.arange(n_items) % 3).astype(np.int32), labels=("a", "b", "c"))
    as_of = int(entries.times.max(initial=0))
    return TrainingData(entries, catalogue(n_items, {"category": category}), catalogue(len(rows)), as_of)


@st.composite
def small_data(draw, max_users=8, max_items=11):
    """Draw training data with at least one positive entry: empty rows, dislikes, equal weights, and missing times."""
    n_users, n_items = draw(st.integers(1, max_users)), draw(st.integers(1, max_items))
    weight = st.sampled_from([1.0, 1.0, 0.5, 4.0, 10.0, -1.0])
    rows = []
    for _ in range(n_users):
        items = draw(st.lists(st.integers(0, n_items - 1), unique=True, max_size=n_items))
        timed = draw(st.integers(0, 9)) > 0
        rows.append([(item, draw(weight), EPOCH + k * DAY if timed else NO_TIME) for k, item in enumerate(items)])
    if not any(entry[1] > 0 for row in rows for entry in row):
        rows[draw(st.integers(0, n_users - 1))] = [(draw(st.integers(0, n_items - 1)), 1.0, EPOCH)]
    return training_data(rows, n_items)


def communities(n_users=60, n_items=45, groups=3, seed=0):
    """Make users who like their own group's items most, with popular ones, ties, dislikes, and some empty rows."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(n_users):
        liking = np.where(np.arange(n_items) % groups == user % groups, 0.35, 0.03)
        liking[: n_items // 8] += 0.15
        items = rng.permutation(np.flatnonzero(rng.random(n_items) < liking))
        weights = rng.choice([1.0, 1.0, 2.0, 4.0, -1.0], len(items))
        first = EPOCH + int(rng.integers(0, 300)) * DAY
        rows.append([] if user % 17 == 5 else [(int(i), float(w), first + k * DAY) for k, (i, w) in enumerate(zip(items, weights, strict=True))])
    return training_data(rows, n_items)


def checkerboard(n=30):
    """User u engages with every item of u's parity but item u itself: the one right answer for u is u."""
    rows = [[(i, 1.0, EPOCH + i) for i in range(n) if (u + i) % 2 == 0 and i != u] for u in range(n)]
    return training_data(rows, n)


def widened(data, users, items):
    """Append so many users and items without an entry."""
    old = data.interactions
    flat = list(zip(old.items.tolist(), old.weights.tolist(), old.times.tolist(), strict=True))
    rows = [flat[old.indptr[u] : old.indptr[u + 1]] for u in range(old.n_users)]
    return training_data([*rows, *([] for _ in range(users))], old.n_items + items)


def query(data, users, *, changed=0, histories=None):
    """Ask for `users` (rows, -1 = never seen) with the histories of the training data, or with `histories` (lists of items)."""
    learned = data.interactions
    rows = []
    for b, user in enumerate(users):
        if histories is not None:
            rows.append([(item, 1.0, EPOCH + k) for k, item in enumerate(histories[b])])
        elif 0 <= user < learned.n_users:
            own = slice(learned.indptr[user], learned.indptr[user + 1])
            rows.append(list(zip(learned.items[own].tolist(), learned.weights[own].tolist(), learned.times[own].tolist(), strict=True)))
        else:
            rows.append([])
    widest = max([learned.n_items, *(entry[0] + 1 for row in rows for entry in row)])
    history = interactions(rows, widest)
    return Query(np.array(users, np.int32), history, np.full(len(users), changed, np.uint8), int(data.as_of))


def some_mask(n_rows, n_items, share=0.7, seed=0):
    """Allow about `share` of the items, others in every row; (n_rows, n_items) uint8."""
    return (np.random.default_rng(seed).random((n_rows, n_items)) < share).astype(np.uint8)


def unseen(data, users):
    """Allow what is not in the history of each user."""
    learned = data.interactions
    mask = np.ones((len(users), learned.n_items), np.uint8)
    for b, user in enumerate(users):
        mask[b, learned.items[learned.indptr[user] : learned.indptr[user + 1]]] = 0
    return mask
