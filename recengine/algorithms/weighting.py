"""How interactions are weighted before a matrix is factorised, and how a history is weighed when it is folded in.

Shared by `svd` and `nmf`. In: interactions. Out: a weighted sparse matrix r_u f(w) l_j, and per item the factors that a
folded-in history and an item's vector are scaled by, so that training and serving count an entry alike.
"""

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from scipy import sparse

from recengine.algorithms.liked import liked
from recengine.algorithms.similarity import strength
from recengine.types import F32, I32, Bools, Interactions

__all__ = ("How", "Weighted", "fold_weights", "unscaled", "weighted")

How: TypeAlias = Literal["plain", "tfidf", "bm25", "normalized"]


class Weighted(NamedTuple):
    """A matrix to factorise."""

    matrix: sparse.csr_matrix
    """(n_users, n_items) float32: r_u f(w) l_j."""
    scale: F32
    """(n_items,) what an item's vector in the matrix' own space is multiplied by, so that dot products rank items."""
    entry: F32
    """(n_items,) l_j / scale_j: what the f(w) of a folded-in entry is multiplied by, given scaled item vectors."""
    row: F32
    """(n_users,) r_u, which a folded-in history is not multiplied by: it would not change an order."""
    seen: Bools
    """(n_items,) bool: the item has an entry."""


def weighted(rows: Interactions, how: How, kind: str) -> Weighted:
    """Weight interactions.

    `plain` keeps weights; `tfidf` and `bm25` dampen them and stress rare items (log(1 + N / df); Sparck Jones 1972,
    Robertson et al. 1994); `normalized` divides by the square roots of the degrees of user and item, so that the
    leading singular vectors are the ideal low-pass filter of Shen et al. 2021 (GF-CF, eq. 12), and a score is weighed
    by the square root of the item's degree again.

    Raises
    ------
    EmptyData : no weight is above 0.
    TrainingFailed : a weight is not finite.
    """
    liked(rows, kind)
    weights = _dampened(rows.weights, how)
    counts = np.bincount(rows.items, minlength=rows.n_items)
    scale = np.ones(rows.n_items, np.float32)
    entry = np.ones(rows.n_items, np.float32)
    row = np.ones(rows.n_users, np.float32)
    values = weights
    if how == "normalized":
        users = np.repeat(np.arange(rows.n_users), np.diff(rows.indptr))
        of_user = np.bincount(users, np.abs(weights), minlength=rows.n_users)
        of_item = np.bincount(rows.items, np.abs(weights), minlength=rows.n_items)
        row = (1 / np.sqrt(np.maximum(of_user, 1e-12))).astype(np.float32)
        scale = np.sqrt(np.maximum(of_item, 1e-12)).astype(np.float32)
        entry = (1 / np.maximum(of_item, 1e-12)).astype(np.float32)
        values = (weights / np.sqrt(np.maximum(of_user[users] * of_item[rows.items], 1e-12))).astype(np.float32)
    elif how != "plain":
        entry = np.log1p(max(np.count_nonzero(np.diff(rows.indptr)), 1) / np.maximum(counts, 1)).astype(np.float32)
        values = weights * entry[rows.items]
    shape = (rows.n_users, rows.n_items)
    matrix = sparse.csr_matrix((values, rows.items, rows.indptr), shape=shape, copy=True)  # SciPy sorts rows in place
    return Weighted(matrix, scale, entry, row, counts > 0)


def fold_weights(history: Interactions, entry: F32, how: How) -> F32:
    """Weigh the entries of histories to be folded in; items beyond `entry` weigh 0. float32 (N,)."""
    weights = _dampened(history.weights, how)
    items: I32 = history.items
    if len(items) and items.max() >= len(entry):
        known = items < len(entry)
        return np.where(known, weights * entry[np.where(known, items, 0)], np.float32(0)).astype(np.float32)
    return np.asarray(weights * entry[items], dtype=np.float32)


def unscaled(vectors: F32, entry: F32, how: How) -> F32:
    """Return items' vectors in the matrix' own space: without the `scale` that went with their `entry` when learned.

    Why not `scale` as it is now: an item that was learned before has met more people since.
    """
    return np.asarray(vectors * np.sqrt(entry)[:, None], dtype=np.float32) if how == "normalized" else vectors


def _dampened(weights: F32, how: How) -> F32:
    return np.maximum(strength(weights, how), np.float32(0)) if how in ("tfidf", "bm25") else weights
