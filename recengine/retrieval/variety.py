"""The last choice among a shortlist: which n items, in which order. Relevance traded for variety by MMR.

Serving shows what this picks, and validation judges what this picks.
"""

import numpy as np

from recengine.kernels.mmr import mmr
from recengine.retrieval.deployment import Deployment
from recengine.types import F32, I64, Ranked

__all__ = ("arrange",)


def arrange(deployment: Deployment, ranked: Ranked, n: int, relevance: F32, *, window: int, threads: int = 1) -> I64:
    """Pick n of every row.

    Parameters
    ----------
    ranked : best first; the leading `pinned` items of a row keep their places.
    relevance : (B,) lambda of MMR, 1 = the order of relevance.
    window : only so many of the best of a row are rearranged, and at least n.

    Returns
    -------
    (B, n) int64, positions in `ranked`, -1 where a row has no more.
    """
    if min(relevance.tolist(), default=1) == 1:
        positions = ranked.indptr[:-1, None] + np.arange(n)
        return np.where(positions < ranked.indptr[1:, None], positions, -1)
    window = max(window, n)
    if len(ranked.pinned) == 1:  # one request: its window is a slice
        start = int(ranked.pinned[0])
        part = slice(start, min(start + window, len(ranked.items)))
        ends = np.array([0, max(part.stop - start, 0)], np.int64)
        picks = mmr(ranked.items[part], ranked.scores[part], ends, deployment.vectors, n, relevance, threads=threads)
        if start:
            picks[picks >= 0] += start
    else:
        starts = ranked.indptr[:-1] + ranked.pinned
        lengths = np.minimum(ranked.indptr[1:] - starts, window)
        ends = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        flat = np.repeat(starts - ends[:-1], lengths) + np.arange(ends[-1])  # the rows' windows, side by side
        chosen = mmr(ranked.items[flat], ranked.scores[flat], ends, deployment.vectors, n, relevance, threads=threads)
        picks = np.where(chosen >= 0, flat[np.maximum(chosen, 0)] if len(flat) else -1, -1).astype(np.int64)
    for b in [b for b, pins in enumerate(ranked.pinned.tolist()) if pins]:
        lead = np.arange(ranked.indptr[b], ranked.indptr[b] + ranked.pinned[b])
        picks[b] = np.concatenate((lead, picks[b]))[:n]
    return picks
