"""Stage 8, diversity: MMR over the shortlist. `Ranked` in, `Slate` out. Pins keep their places.

Past the deadline, or without vectors, the order of relevance stays and `degraded` says so.
"""

import numpy as np

from recengine.config import Diversity as DiversityConfig
from recengine.kernels.mmr import mmr
from recengine.online.trace import Trace
from recengine.retrieval.deployment import Deployment
from recengine.types import F32, I64, Context, Ranked, Slate

__all__ = ("Diversity",)


class Diversity:
    """Trades relevance for variety."""

    def __init__(self, deployment: Deployment, config: DiversityConfig) -> None:
        self._vectors = deployment.vectors
        self._able = bool(np.any(deployment.vectors))
        self._config = config

    def arrange(self, context: Context, ranked: Ranked, trace: Trace) -> Slate:
        """Pick the n of each request out of its shortlist."""
        n = context.requests[0].n  # alike in a batch
        default = self._config.relevance if self._config.enabled else 1.0
        relevance = np.array(
            [default if r.diversity is None else 1.0 - r.diversity for r in context.requests], np.float32
        )
        if (relevance < 1).any() and not self._able:
            trace.degrade("diversity:no_vectors")
            relevance[:] = 1
        if (relevance < 1).any() and trace.overdue(0.9):
            trace.degrade("diversity:deadline")
            relevance[:] = 1
        picks = (
            self._mmr(ranked, n, relevance, context.threads) if (relevance < 1).any() else _leading(ranked.indptr, n)
        )
        trace.mark("diversity")
        return Slate(ranked, picks)

    def _mmr(self, ranked: Ranked, n: int, relevance: F32, threads: int) -> I64:
        window = max(self._config.window, n)
        if len(ranked.pinned) == 1:  # one request: its window is a slice
            start = int(ranked.pinned[0])
            part = slice(start, min(start + window, len(ranked.items)))
            ends = np.array([0, max(part.stop - start, 0)], np.int64)
            picks = mmr(ranked.items[part], ranked.scores[part], ends, self._vectors, n, relevance, threads=threads)
            picks[picks >= 0] += start
        else:
            starts = ranked.indptr[:-1] + ranked.pinned
            lengths = np.minimum(ranked.indptr[1:] - starts, window)
            indptr = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
            flat = np.repeat(starts - indptr[:-1], lengths) + np.arange(indptr[-1])  # the rows' windows, side by side
            chosen = mmr(ranked.items[flat], ranked.scores[flat], indptr, self._vectors, n, relevance, threads=threads)
            picks = np.where(chosen >= 0, flat[np.maximum(chosen, 0)] if len(flat) else -1, -1).astype(np.int64)
        if ranked.pinned.any():
            for b, pins in enumerate(ranked.pinned.tolist()):
                if pins:
                    lead = np.arange(ranked.indptr[b], ranked.indptr[b] + pins)
                    picks[b] = np.concatenate((lead, picks[b]))[:n]
        return picks


def _leading(indptr: I64, n: int) -> I64:
    """Return the first n positions of every row, (B, n), -1 beyond its end."""
    positions = indptr[:-1, None] + np.arange(n)
    return np.where(positions < indptr[1:, None], positions, -1)
