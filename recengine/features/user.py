"""Features of users that sources and models read, the same in training and serving."""

import numpy as np

from recengine.types import I32, Column, Interactions

__all__ = ("favourite_categories",)


def favourite_categories(history: Interactions, column: Column, n: int) -> I32:
    """Find the n categories that each user engaged with most.

    Parameters
    ----------
    history : B rows; an entry counts log1p(weight), negative evidence does not count.
    column : kind string or strings over all items.
    n : categories wanted.

    Returns
    -------
    (B, n) int32 codes into `column.labels`, dearest first, ties to the lower code, -1 = none left.

    Cost: O(B x labels + entries).
    """
    out = np.full((history.n_users, n), -1, np.int32)
    labels = len(column.labels)
    if n == 0 or labels == 0 or len(history.items) == 0:
        return out
    row = np.repeat(np.arange(history.n_users, dtype=np.int64), np.diff(history.indptr))
    weight = np.log1p(np.maximum(history.weights, 0))
    if column.kind == "strings" and column.indptr is not None:
        known = history.items < len(column.indptr) - 1
        items, row, weight = history.items[known], row[known], weight[known]
        counts = np.diff(column.indptr)[items]
        starts = np.repeat(column.indptr[:-1][items] - np.concatenate(([0], np.cumsum(counts)[:-1])), counts)
        code = column.data[starts + np.arange(counts.sum())]
        row, weight = np.repeat(row, counts), np.repeat(weight, counts)
    else:
        known = history.items < len(column.data)
        code, row, weight = column.data[history.items[known]], row[known], weight[known]
    ok = code >= 0
    mass = np.bincount(row[ok] * labels + code[ok], weights=weight[ok], minlength=history.n_users * labels).reshape(
        history.n_users, labels
    )
    k = min(n, labels)
    best = np.argsort(-mass, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(mass, best, axis=1) > 0
    out[:, :k] = np.where(found, best, -1)
    return out
