"""Learn vectors of categories from what users took together.

Offline. In: events in the order of users and time, and the category of each. Out: counts of pairs, then a `Step` with
a vector a category. Two categories lie close where they stand beside the same others.
"""

from typing import NamedTuple

import numpy as np

from recengine.features.definition import Feature
from recengine.features.transforms.categorical import by_commonness, coded
from recengine.features.transforms.steps import Step
from recengine.types import F64, I32, I64

__all__ = ("DIMENSIONS", "LEARNED", "Cooccurrences", "cooccurrences", "embedding", "vectors")

DIMENSIONS = 32
LEARNED = 4096
"""The commonest categories, which have a vector; those beyond have zeros (a matrix of 4,096 x 4,096 takes 128 MB)."""
_SPAN = 5
_ROUNDS = 8


class Cooccurrences(NamedTuple):
    """How often K categories of one domain stand together."""

    codes: I64
    """(K,), ascending."""
    counts: F64
    """(K, K), symmetric, of whole numbers."""


def cooccurrences(users: I32, codes: I32, n_labels: int, *, span: int = _SPAN) -> Cooccurrences:
    """Count how often two categories stand within `span` events of one user; of the 4,096 commonest at most.

    Parameters
    ----------
    users, codes : int32 (n,), events in the order of (user, time); code -1 = no category.
    n_labels : categories of the vocabulary; every code is below.

    Returns
    -------
    A pair of the same category counts on the diagonal, twice, as any pair counts on both sides of it.

    Cost: 10 ns an event and step of the span, 8 bytes a pair of categories.
    """
    order, _ = by_commonness(codes.astype(np.int64), n_labels)
    own = np.sort(order[:LEARNED])
    k = len(own)
    place = np.full(n_labels + 1, -1, np.int64)  # the last one stands for -1
    place[own] = np.arange(k)
    at = place[codes]
    counts = np.zeros(k * k)
    for apart in range(1, span + 1):
        both = (users[:-apart] == users[apart:]) & (at[:-apart] >= 0) & (at[apart:] >= 0)
        counts += np.bincount(at[:-apart][both] * k + at[apart:][both], minlength=len(counts))
    square = counts.reshape(k, k)
    return Cooccurrences(own, square + square.T)


def vectors(counts: F64, dimensions: int = DIMENSIONS, *, seed: int = 0) -> F64:
    """Factor the positive pointwise mutual information, PPMI = U S V': a row of U sqrt(S) a category.

    PPMI(a, b) = max(0, log(n(a, b) n / (n(a) n(b)))) (Levy and Goldberg 2014, sections 3 and 4.2); the leading
    eigenvectors by subspace iteration from a seeded start (Halko et al. 2011, algorithm 4.4). Where there are fewer
    categories than dimensions, the rest of the columns is 0.

    Returns
    -------
    (L, dimensions) float64, scaled so that the longest vector has length 1; the largest entry of a column is positive.
    """
    n = len(counts)
    out = np.zeros((n, dimensions))
    if n == 0 or counts.sum() == 0:
        return out
    mass = counts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(counts * mass.sum() / np.outer(mass, mass))
    positive = np.where(counts > 0, np.maximum(information, 0), 0)
    start = np.random.default_rng(seed).standard_normal((n, min(n, dimensions + 8)))
    basis = np.linalg.qr(positive @ start)[0]
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(positive @ basis)[0]
    values, turned = np.linalg.eigh(basis.T @ positive @ basis)
    best = np.argsort(-np.abs(values), kind="stable")[: min(dimensions, len(values))]
    found = (basis @ turned[:, best]) * np.sqrt(np.abs(values[best]))
    found *= np.where(found[np.argmax(np.abs(found), axis=0), np.arange(len(best))] < 0, -1, 1)
    longest = np.sqrt((found**2).sum(axis=1).max())
    out[:, : len(best)] = found / longest if longest > 0 else found
    return out


def embedding(
    feature: Feature, codes: I64, labels: tuple[str, ...], together: Cooccurrences, *, seed: int = 0
) -> Step:
    """Give each category its vector of 32; what never stood beside another, unseen and missing = zeros."""
    _, rows = by_commonness(codes, len(labels))
    table = np.zeros((len(labels) + 2, DIMENSIONS), np.float32)
    table[together.codes] = vectors(together.counts, seed=seed)
    columns = tuple(f"{feature.name}~{column:02}" for column in range(DIMENSIONS))
    return coded(feature, columns, table, rows)
