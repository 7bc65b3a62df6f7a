"""Product quantization written out: k-means part by part, nearest centroids, and tables of bytes."""

import numpy as np

from tests.oracles.topk import topk


def parts(rows):
    return rows.reshape(len(rows), 32, rows.shape[1] // 32)


def encode(rows, centroids):
    away = np.zeros((len(rows), 32, 16), np.float32)
    for k in range(centroids.shape[2]):
        x = parts(rows)[:, :, None, k] - centroids[None, :, :, k]
        away += x * x
    return away.argmin(axis=2).astype(np.uint8)


def lloyd(rows, centroids, steps):
    centroids = centroids.copy()
    for _ in range(steps):
        codes = encode(rows, centroids)
        for s in range(32):
            for c in range(16):
                mine = parts(rows)[codes[:, s] == c, s].astype(np.float64)
                if len(mine):
                    centroids[s, c] = mine.cumsum(axis=0)[-1] / len(mine)
    return centroids


def adc_topm(queries, rotation, centroids, codes, items, n_rows, m, mask=None):
    turned = np.zeros((len(queries), rotation.shape[1]), np.float32)
    for i in range(rotation.shape[0]):
        turned += queries[:, i : i + 1] * rotation[i]
    sums = np.zeros((len(queries), 32, 16), np.float32)
    for k in range(centroids.shape[2]):
        sums += parts(turned)[:, :, None, k] * centroids[None, :, :, k]
    low, high = sums.min(axis=2), sums.max(axis=2)
    scale = (high - low).max(axis=1).astype(np.float64) / 255
    tables = np.rint((sums - low[:, :, None]) / scale[:, None, None])
    total = np.stack([tables[:, s, codes[:, s]] for s in range(32)]).sum(axis=0)
    score = np.full((len(queries), n_rows), np.nan, np.float32)
    score[:, items] = total
    found = topk(score, m, None if mask is None else mask[:, :n_rows])
    base = low.astype(np.float64).cumsum(axis=1)[:, -1]
    return found[0], (base[:, None] + scale[:, None] * found[1]).astype(np.float32)
