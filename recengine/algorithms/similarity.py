"""Likeness between the rows of a weighted sparse matrix: what item-KNN, user-KNN and the graph filter share.

On the offline spine in `fit`: interactions come in, neighbours go out. On the online spine UserKnn weighs a fresh
history with the same `Weighting`, so that training and serving agree on what an entry counts.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recengine.algorithms.base import Progress
from recengine.algorithms.liked import liked
from recengine.errors import BadArtifact, EmptyData
from recengine.kernels import cores
from recengine.kernels.knn import Csr, Weighting, neighbors, unit_rows
from recengine.types import F32, I32, I64, Bools, Interactions, Mask, TopN

__all__ = (
    "Space",
    "any_known",
    "check_csr",
    "check_shapes",
    "latest",
    "nearest",
    "nearest_of",
    "positive_rows",
    "silence",
    "space_of",
    "strength",
    "taken",
    "transposed",
)

CHUNK = 4096
"""Rows between two reports of progress; also how often Ctrl-C is heard."""


class Space(NamedTuple):
    """Members as unit vectors over features, turned for look-up, and all that weighing another vector in it needs."""

    postings: Csr
    """Feature -> members that have it, with their unit values."""
    norms: F32
    """(members,) before scaling to 1."""
    rarity: F32
    """(features,)"""
    average: float
    """Mean sum of weights of a member."""
    square: float
    """Mean square of a weighted entry: the unit of `shrinkage`, so that it counts entries whatever the weights are."""


def latest(history: Interactions, limit: int) -> Csr:
    """Cut every row, oldest first, to its `limit` latest entries; shares memory where nothing is cut."""
    indptr = history.indptr
    if len(history.items) <= limit or len(indptr) < 2 or (indptr[1:] - indptr[:-1]).max() <= limit:
        return Csr(indptr, history.items, history.weights)
    lengths = indptr[1:] - indptr[:-1]
    position = np.arange(indptr[0], indptr[-1])
    keep = position[position >= np.repeat(indptr[1:] - limit, lengths)]
    return Csr(_offsets(np.minimum(lengths, limit)), history.items[keep], history.weights[keep])


def positive_rows(data: Interactions, limit: int, kind: str) -> Csr:
    """Keep of every user's `limit` latest entries those with weight > 0.

    Raises
    ------
    EmptyData : no entry has a weight above 0, or none of the latest has.
    TrainingFailed : a weight is not finite.
    """
    liked(data, kind)
    rows = latest(data, limit)
    good = rows.values > 0
    if not good.any():
        missed = f"none of the latest {limit} entries of any user has a positive weight"
        raise EmptyData(f"{kind}: {missed}", hint="raise `history_limit`")
    kept = np.concatenate(([0], np.cumsum(good)))
    return Csr(kept[rows.indptr].astype(np.int64), rows.cols[good], rows.values[good])


def transposed(rows: Csr, n_cols: int) -> Csr:
    """Turn rows into columns; within each the former rows ascend."""
    turned = sparse.csr_matrix((rows.values, rows.cols, rows.indptr), shape=(rows.n, n_cols)).tocsc()
    return Csr(turned.indptr.astype(np.int64), turned.indices.astype(np.int32), turned.data)


def strength(weights: F32, weighting: Weighting) -> F32:
    """Say how much one entry of weight w > 0 speaks in a score.

    It is w (plain), sqrt(w) (TF-IDF), or 2.2 w / (w + 1.2) (BM25 without length).

    Entries with w <= 0 or NaN stay <= 0 or NaN, so that the kernels skip them.
    """
    if weighting == "plain":
        return weights
    positive = np.fmax(weights, np.float32(0))  # fmax: NaN becomes 0
    strong = np.sqrt(positive) if weighting == "tfidf" else positive * np.float32(2.2) / (positive + np.float32(1.2))
    return np.asarray(strong, dtype=np.float32)


def space_of(rows: Csr, n_features: int, weighting: Weighting) -> tuple[Space, Csr]:
    """Weigh the members' rows and make them unit vectors.

    The rarity of a feature that df of N members have is 1 (plain), log(1 + N / df) (TF-IDF, Sparck Jones 1972, kept >
    0), or log(1 + (N - df + 1/2) / (df + 1/2)) (BM25, Robertson et al. 1994, kept > 0). N counts members with any
    feature.

    Returns
    -------
    the space, and the members' unit rows.
    """
    members = max(int(np.count_nonzero(np.diff(rows.indptr))), 1)
    having = np.bincount(rows.cols, minlength=n_features).astype(np.float64)
    if weighting == "plain":
        rarity = np.ones(n_features)
    elif weighting == "tfidf":
        rarity = np.log1p(members / np.maximum(having, 1))
    else:
        rarity = np.log1p((members - having + 0.5) / (having + 0.5))
    average = float(rows.values.sum(dtype=np.float64)) / members
    space = Space(rows, np.empty(0, np.float32), rarity.astype(np.float32), average, 0.0)
    values, norms = unit_rows(rows, space.rarity, weighting=weighting, average=average)
    unit = Csr(rows.indptr, rows.cols, values)
    square = float(np.square(norms, dtype=np.float64).sum()) / max(len(rows.cols), 1)
    return space._replace(postings=transposed(unit, n_features), norms=norms, square=square), unit


def nearest(
    rows: Csr, postings: Csr, norms: F32, k: int, shrinkage: float, *,
    threads: int, progress: Progress | None, members: I32 | None = None,
) -> Iterator[TopN]:  # fmt: skip
    """Find the k nearest other members of every member, `CHUNK` rows at a time, in order; row m of `rows` is member m.

    See `kernels.knn.neighbors`. `members` (int32, ascending) asks for these alone. Why in chunks: whoever drops the
    padding at once holds what was found and no more.
    """
    asked = np.arange(rows.n, dtype=np.int32) if members is None else members
    for start in range(0, len(asked), CHUNK):
        own = asked[start : start + CHUNK]
        some = Csr(rows.indptr[start : start + len(own) + 1], rows.cols, rows.values)
        if members is not None:
            some = taken(rows, own)
        yield neighbors(some, own, norms[own], postings, norms, k, shrinkage=shrinkage, threads=cores(threads))
        if progress is not None:
            progress(start + len(own), len(asked))


def taken(rows: Csr, which: I32 | I64) -> Csr:
    """Copy some rows out."""
    lengths = np.diff(rows.indptr)[which]
    indptr = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    flat = np.repeat(rows.indptr[which] - indptr[:-1], lengths) + np.arange(indptr[-1])
    return Csr(indptr, rows.cols[flat], rows.values[flat])


def nearest_of(which: I32, rows: Csr, postings: Csr, norms: F32, k: int, shrinkage: float, *, threads: int) -> TopN:
    """Find the k nearest other members of the members `which` (int32) alone; the rest as in `nearest`."""
    lengths = np.diff(rows.indptr)[which]
    indptr = _offsets(lengths)
    at = np.repeat(rows.indptr[which] - indptr[:-1], lengths) + np.arange(indptr[-1])
    some = Csr(indptr, rows.cols[at], rows.values[at])
    return neighbors(some, which, norms[which], postings, norms, k, shrinkage=shrinkage, threads=cores(threads))


def check_csr(name: str, csr: Csr, n_cols: int, *, signed: bool = False) -> Csr:
    """Refuse a stored matrix that would lead the kernels out of bounds; returns it.

    Raises
    ------
    BadArtifact : offsets fall, columns are out of range, a value is not >= 0 (`signed`: not finite), or shapes and
    dtypes differ from what `save` wrote.
    """
    indptr, cols, values = csr
    arrays: tuple[tuple[npt.NDArray[Any], type], ...] = ((indptr, np.int64), (cols, np.int32), (values, np.float32))
    shaped = all(array.ndim == 1 and array.dtype == dtype for array, dtype in arrays)
    if (
        not shaped
        or len(indptr) == 0
        or indptr[0] != 0
        or indptr[-1] != len(cols)
        or len(cols) != len(values)
        or bool((np.diff(indptr) < 0).any())
        or (len(cols) > 0 and not (cols.min() >= 0 and cols.max() < n_cols))
        or (len(cols) > 0 and not (np.isfinite(values).all() if signed else values.min() >= 0))
    ):
        wanted = "finite values" if signed else "values >= 0"
        raise BadArtifact(
            f"{name}: expected sparse rows over {n_cols} columns with {wanted}", hint="train again, or roll back"
        )
    return csr


def check_shapes(folder: Path, **right: bool) -> None:
    """Refuse a folder unless every named array is right.

    Raises
    ------
    BadArtifact : names those that are not.
    """
    wrong = sorted(name for name, good in right.items() if not good)
    if wrong:
        raise BadArtifact(
            f"{folder.name}: wrong shape or dtype of {', '.join(wrong)}", hint="train again, or roll back"
        )


def any_known(entries: Csr, known: Mask) -> Bools:
    """Say of each row whether an entry counts: weight > 0, on an item that training saw."""
    if entries.n == 1 and len(entries.cols) and entries.values[-1] > 0:  # one request: its latest entry mostly does
        latest_item = int(entries.cols[-1])
        if latest_item < len(known) and known[latest_item]:
            return np.ones(1, np.bool_)
    inside = (entries.cols < len(known)) & (entries.values > 0)
    if entries.n == 1:
        return np.array([known[entries.cols[inside]].any()])
    counts = np.zeros(len(entries.cols) + 1, np.int64)
    np.cumsum(inside & (known[np.where(inside, entries.cols, 0)] > 0), out=counts[1:])
    return np.asarray(counts[entries.indptr[1:]] > counts[entries.indptr[:-1]])


def silence(scores: F32, indptr: I64, usable: Bools) -> F32:
    """Turn the scores of the rows that are not `usable` (B,) into NaN, in place; row b owns indptr[b]:indptr[b + 1]."""
    if len(usable) == 1:
        if not usable[0]:
            scores[:] = np.nan
    elif not usable.all():
        scores[np.repeat(~usable, np.diff(indptr))] = np.nan
    return scores


def _offsets(lengths: I64 | I32) -> I64:
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
