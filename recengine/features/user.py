"""Features of users that sources and models read, the same in training and serving."""

from typing import Any

import numpy as np

from recengine.types import I32, Catalogue, Column, Interactions

__all__ = ("attributes_of", "favourite_categories")


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


def attributes_of(users: Catalogue, user: int) -> dict[str, Any]:
    """Return what is known of one user as plain values (str, float, bool, list of str).

    Missing attributes are left out.
    """
    out: dict[str, Any] = {}
    if not 0 <= user < users.n:
        return out
    for name, column in users.columns.items():
        value: Any = column.data[user] if column.indptr is None else None
        if column.kind == "string" and value >= 0:
            out[name] = column.labels[value]
        elif column.kind == "bool" and value != 2:
            out[name] = bool(value)
        elif column.kind == "number" and not np.isnan(value):
            out[name] = float(value)
        elif column.kind == "strings" and column.indptr is not None:
            codes = column.data[column.indptr[user] : column.indptr[user + 1]]
            if len(codes):
                out[name] = [column.labels[code] for code in codes]
    return out
