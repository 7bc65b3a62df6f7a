"""Stage 5, scoring: the pool x models matrix.

Each model is isolated: an exception, or more time than its `time_budget_ms` (times the batch), drops that model's
column, is counted, and is named in `degraded`. The time is taken after the call, since a kernel cannot be
interrupted: the budget bounds how often an answer can be late, not one answer. Past the deadline the remaining
models are skipped, except popularity, which is a look-up.
"""

import logging
from collections import Counter
from time import perf_counter_ns

from recengine.algorithms.popularity import Popularity
from recengine.online.trace import Trace
from recengine.retrieval.cold import lifts
from recengine.retrieval.deployment import Deployment, Member
from recengine.retrieval.matrix import column, table
from recengine.types import F32, Context, Features, Pool, ScoreTable

__all__ = ("Scoring",)

log = logging.getLogger("recengine.online")


class Scoring:
    """Runs the models of one deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self.dropped: Counter[str] = Counter()
        """How often each `model:<name>:<why>` happened."""

    def score(self, context: Context, features: Features, pool: Pool, trace: Trace) -> ScoreTable:
        """Score the pool with every model that can."""
        columns = [
            self._column(member, features, pool, trace, context.threads) if self._counts(member) else None
            for member in self._deployment.members
        ]
        added = lifts(self._deployment, pool, context.users, context.cold, features.attributes)
        scored = table(self._deployment, pool, columns, added)
        trace.mark("scoring")
        return scored

    @staticmethod
    def _counts(member: Member) -> bool:
        """Tell whether the model has a say: popularity always has one, where nobody else does; others by weight."""
        return member.weight > 0 or isinstance(member.scorer, Popularity)

    def _column(self, member: Member, features: Features, pool: Pool, trace: Trace, threads: int) -> F32 | None:
        if trace.overdue(0.8) and not isinstance(member.scorer, Popularity):
            self._drop(member, "deadline", trace)
            return None
        started = perf_counter_ns()
        try:
            values = column(member, features.query, pool, threads=threads)
        except Exception:  # one failing model must not fail the request; it is logged, counted and named in the reply
            log.exception("model %s failed", member.name)
            self._drop(member, "error", trace)
            return None
        budget = member.scorer.config.time_budget_ms * 1e6 * max(len(features.query.users), 1)
        if perf_counter_ns() - started > budget:
            self._drop(member, "budget", trace)
            return None
        return values

    def _drop(self, member: Member, why: str, trace: Trace) -> None:
        reason = f"model:{member.name}:{why}"
        self.dropped[reason] += 1
        trace.degrade(reason)
