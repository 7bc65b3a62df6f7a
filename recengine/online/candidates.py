"""Stage 4, candidates: at most `serving.pool` items a request worth scoring, and which source found each.

A source that fails, or takes longer than its `time_budget_ms`, is left out and named in `degraded`; when half
of the deadline is over the remaining personal sources are skipped, the precomputed ones (microseconds) never.
"""

import logging
from time import perf_counter_ns

import numpy as np

from recengine.algorithms.standing import Standing
from recengine.config import Config
from recengine.online.caps import Caps
from recengine.online.counters import Live
from recengine.online.rules import Rules
from recengine.online.state import State
from recengine.online.trace import Trace
from recengine.retrieval.deployment import Deployment
from recengine.retrieval.sources import Asked, Orders, Source, declared, gather
from recengine.types import I32, Catalogue, Column, Context, Features, Mask, Pool

__all__ = ("CandidateStage",)

log = logging.getLogger("recengine.online")


class CandidateStage:
    """Asks every source."""

    def __init__(self, deployment: Deployment, state: State, rules: Rules, live: Live, config: Config) -> None:
        self._deployment = deployment
        self._live = live
        self._state = state
        self._rules = rules
        self._sources = declared(deployment, config.candidates)
        self._limit = config.serving.pool
        self._category = config.serving.category
        self._orders: tuple[int, Column | None, Orders, I32, Standing] | None = None

    def gather(self, context: Context, features: Features, mask: Mask, trace: Trace) -> Pool:
        """Collect the pool of B requests; every row holds `n` items where so many are eligible."""
        orders, codes = self._laid_out(context.items)
        favourites = codes[features.favourites] if features.favourites.shape[1] else features.favourites
        extra = self._asked_for(context, mask, orders, trace)
        asked = Asked(
            query=features.query,
            mask=mask,
            orders=orders,
            cold=context.cold,
            favourites=favourites,
            attributes=features.attributes,
            threads=context.threads,
        )
        pool = gather(
            self._sources,
            asked,
            limit=self._limit,
            needed=max(r.n for r in context.requests),
            extra=extra,
            guard=lambda source, asked: self._guarded(source, asked, trace),
        )
        trace.mark("candidates")
        return pool

    def latest(self, n: int) -> I32:
        """List the n newest of the available items."""
        items = self._state.items
        orders, _ = self._laid_out(items)
        found = orders.first(orders.LATEST, items.available[None, :], n)[0]
        shown: I32 = found[found >= 0]
        return shown

    @staticmethod
    def _guarded(source: Source, asked: Asked, trace: Trace) -> I32 | None:
        if source.budget_ms is not None and trace.overdue(0.5):
            trace.degrade(f"source:{source.name}:deadline")
            return None
        started = perf_counter_ns()
        try:
            found = source.find(asked)
        except Exception:  # one failing source must not fail the request; it is logged, counted and named in the reply
            log.exception("candidate source %s failed", source.name)
            trace.degrade(f"source:{source.name}:error")
            return None
        if source.budget_ms is not None and perf_counter_ns() - started > source.budget_ms * 1e6 * len(asked.mask):
            trace.degrade(f"source:{source.name}:budget")  # as in scoring: late is as good as absent
            return None
        return found

    def _laid_out(self, items: Catalogue) -> tuple[Orders, I32]:
        """Lay the orders out, and map the category codes of `items` to rows of the table (-1 = unknown when trained).

        Both are kept until the number of items, the category column or the counters' standing changes: a change of
        stock changes neither.
        """
        column = items.columns.get(self._category)
        live = self._live.laid_out(items.n)
        held = self._orders
        if held is None or held[0] != items.n or held[1] is not column or held[4] is not live:
            if held is not None and held[0] == items.n and held[4] is live:
                orders = held[2]
            else:
                orders = Orders(self._deployment.popularity, items.n, live)
            held = self._orders = (items.n, column, orders, orders.codes(column), live)
        return held[2], held[3]

    def _asked_for(self, context: Context, mask: Mask, orders: Orders, trace: Trace) -> list[tuple[str, I32]]:
        """List what requests pin, and what their caps need so that a capped reply can still be full."""
        lists: list[tuple[str, I32]] = []
        for name, wanted in (
            ("pinned", [r.pins for r in context.requests]),
            ("capped", [r.caps for r in context.requests]),
        ):
            if not any(wanted):
                continue
            rows = []
            for b, request in enumerate(context.requests):
                if name == "pinned":
                    pins = self._rules.rows(request.pins, "pins", context, b, trace)
                    rows.append(pins[mask[b, pins] == 1])
                elif request.caps:
                    popular = orders.first(orders.POPULAR, mask[b : b + 1], int(mask[b].sum()))[0]
                    popular = popular[popular >= 0]
                    rows.append(popular[Caps(request.caps, context.items).keep(popular, request.n)])
                else:
                    rows.append(np.empty(0, np.int32))
            table = np.full((len(rows), max(len(row) for row in rows)), -1, np.int32)
            for line, row in zip(table, rows, strict=True):
                line[: len(row)] = row
            lists.append((name, table))
        return lists
