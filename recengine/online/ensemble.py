"""Stage 6, ensemble: one ranking out of the models' columns. `ScoreTable` in, `Ranked` out.

The blend stands in `retrieval/matrix.py`.
"""

from recengine.config import Serving
from recengine.online.trace import Trace
from recengine.retrieval.deployment import Deployment
from recengine.retrieval.matrix import blend
from recengine.types import Context, Ranked, ScoreTable

__all__ = ("Ensemble",)


class Ensemble:
    """Weighted average of calibrated scores."""

    def __init__(self, deployment: Deployment, config: Serving) -> None:
        self._deployment = deployment
        self._shortlist = config.shortlist

    def blend(self, context: Context, scored: ScoreTable, trace: Trace) -> Ranked:
        """Blend and keep the shortlist; the whole pool where pins or caps may still need it."""
        n = max(self._shortlist, *(r.n for r in context.requests))
        if any(r.pins or r.caps for r in context.requests):
            n = max(n, len(scored.pool.items))
        ranked = blend(self._deployment, scored, n, threads=context.threads)
        trace.mark("ensemble")
        return ranked
