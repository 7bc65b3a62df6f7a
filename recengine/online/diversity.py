"""Stage 8, diversity: the slate out of the shortlist, by MMR. `Ranked` in, `Slate` out; pins keep their places.

Past the deadline, or without vectors, the order of relevance stays and `degraded` says so.
"""

import numpy as np

from recengine.config import Diversity as DiversityConfig
from recengine.online.trace import Trace
from recengine.retrieval.deployment import Deployment
from recengine.retrieval.variety import arrange
from recengine.types import Context, Ranked, Slate

__all__ = ("Diversity",)


class Diversity:
    """Trades relevance for variety."""

    def __init__(self, deployment: Deployment, config: DiversityConfig) -> None:
        self._deployment = deployment
        self._able = bool(np.any(deployment.vectors))
        self._config = config

    def arrange(self, context: Context, ranked: Ranked, trace: Trace) -> Slate:
        """Pick the n of each request out of its shortlist."""
        default = self._config.relevance if self._config.enabled else 1.0
        wishes = [default if r.diversity is None else 1.0 - r.diversity for r in context.requests]
        if min(wishes) < 1 and not self._able:
            trace.degrade("diversity:no_vectors")
            wishes = [1.0] * len(wishes)
        if min(wishes) < 1 and trace.overdue(0.9):
            trace.degrade("diversity:deadline")
            wishes = [1.0] * len(wishes)
        n = context.requests[0].n  # alike in a batch
        relevance = np.array(wishes, np.float32)
        window, threads = self._config.window, context.threads
        picks = arrange(self._deployment, ranked, n, relevance, window=window, threads=threads)
        trace.mark("diversity")
        return Slate(ranked, picks)
