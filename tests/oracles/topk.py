"""The n best, by a full stable sort."""

from itertools import pairwise

import numpy as np


def topk(scores, n, mask=None):
    scores = np.where(np.ones_like(scores, bool) if mask is None else mask != 0, scores, np.nan)
    items = np.full((len(scores), n), -1, np.int32)
    best = np.full((len(scores), n), np.nan, np.float32)
    for row, values in enumerate(scores):
        order = np.argsort(-values, kind="stable")
        order = order[~np.isnan(values[order])][:n]
        items[row, : len(order)] = order
        best[row, : len(order)] = values[order]
    return items, best


def topk_ragged(scores, indptr, n):
    kept = []
    for start, stop in pairwise(indptr):
        row = topk(scores[None, start:stop], n)[0][0] if stop > start else np.array([], np.int32)
        kept.append(start + row[row >= 0].astype(np.int64))
    counts = np.array([len(k) for k in kept], np.int64)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), np.concatenate([np.array([], np.int64), *kept])
