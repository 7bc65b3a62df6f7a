"""Greedy maximal marginal relevance, straight from the formula (Carbonell and Goldstein 1998)."""

import numpy as np


def scaled(relevance):
    r = relevance.astype(np.float64)
    low, high = np.nanmin(r), np.nanmax(r)
    return (r - low) / (high - low) if high > low else r * 0


def vectors_of(items, vectors):
    known = (items >= 0) & (items < len(vectors))
    out = np.zeros((len(items), vectors.shape[1]))
    out[known] = vectors[items[known]]
    return np.nan_to_num(out)


def gains(items, relevance, vectors, weight, picked):
    """The MMR of every candidate of one row after `picked` were taken."""
    own = vectors_of(items, vectors)
    closest = np.max(own @ own[picked].T, axis=1, initial=0)
    gain = weight * scaled(relevance) - (1 - weight) * closest if weight < 1 else relevance.astype(np.float64)
    gain[picked] = np.nan
    return gain


def mmr_row(items, relevance, vectors, n, weight):
    picks = []
    for _ in range(min(n, int((~np.isnan(relevance)).sum()))):
        gain = gains(items, relevance, vectors, weight, picks) if picks else relevance
        picks.append(int(np.nanargmax(gain)))
    return np.array(picks + [-1] * (n - len(picks)), np.int64)
