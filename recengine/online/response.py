"""Stage 9, response: rows become ids, log-odds become probabilities, and every item says why it is there.

`Slate` in, `Response`s out.
"""

from itertools import repeat
from os import urandom
from time import time_ns

import numpy as np

from recengine.online.reasons import Reasons
from recengine.online.trace import Trace
from recengine.retrieval.deployment import Deployment
from recengine.retrieval.matrix import CALIBRATION, confidence
from recengine.store.vocab import Vocabulary
from recengine.types import I64, Context, Explanation, Features, Ranked, Recommendation, Response, Slate

__all__ = ("Renderer", "request_id")


class Renderer:
    """Writes replies."""

    def __init__(self, deployment: Deployment, items: Vocabulary) -> None:
        self._deployment = deployment
        self._items = items
        self._known = len(deployment.members)
        self._models = (*(member.name for member in deployment.members), CALIBRATION)
        self._reasons = Reasons(deployment, items)

    def render(self, context: Context, features: Features, slate: Slate, trace: Trace) -> list[Response]:
        """Write one reply a request."""
        ranked = slate.ranked
        shown = slate.picks >= 0
        at = slate.picks.ravel() if shown.all() else slate.picks[shown]
        rows = ranked.items[at]
        ids = self._items.ids(rows)
        scores, parts = self._calibrated(ranked, at)
        leading = self._reasons.leading(ranked.contributions[at])
        ends = [len(at)] if len(shown) == 1 else np.cumsum(shown.sum(axis=1)).tolist()
        pinned = ranked.pinned.tolist()
        replies = []
        start = 0
        for b, (request, end) in enumerate(zip(context.requests, ends, strict=True)):
            cold = bool(context.cold[b])
            models = (*self._models, *ranked.models[self._known :]) if cold else self._models  # attributes: cold rows
            part = slice(start, end)
            lead = min(pinned[b], end - start)
            kinds = ["pinned"] * lead + (["cold_start"] * (end - start - lead) if cold else leading[start + lead : end])
            whys = (
                [
                    self._reasons.of(context, features, b, row, k, shares, trace)
                    for row, k, shares in zip(rows[part].tolist(), kinds, parts[part], strict=True)
                ]
                if request.explain
                else repeat(())
            )
            lines = [
                Recommendation(item, score, kind, why, dict(zip(models, shares, strict=False)))
                for item, score, kind, why, shares in zip(
                    ids[part], scores[part], kinds, whys, parts[part], strict=False
                )
            ]
            replies.append(
                Response(
                    request_id=request_id(),
                    user_id=request.user_id,
                    items=tuple(lines),
                    version=self._deployment.version,
                    cold=cold,
                    degraded=trace.reasons(b),
                )
            )
            start = end
        trace.mark("response")
        return replies

    def explain(
        self, context: Context, features: Features, ranked: Ranked, excluded_by: tuple[str, ...], trace: Trace
    ) -> Explanation:
        """Write what the models and the rules say of the one item in `ranked` for the one request of the batch."""
        item = int(ranked.items[0])
        kind = "cold_start" if context.cold[0] else self._reasons.leading(ranked.contributions[:1])[0]
        (score,), (parts,) = self._calibrated(ranked, np.zeros(1, np.int64))
        return Explanation(
            user_id=context.requests[0].user_id,
            item_id=self._items.id(item),
            eligible=not excluded_by,
            excluded_by=excluded_by,
            score=score,
            contributions=dict(zip((*self._models, *ranked.models[self._known :]), parts, strict=True)),
            reasons=self._reasons.of(context, features, 0, item, kind, parts, trace),
            version=self._deployment.version,
        )

    def _calibrated(self, ranked: Ranked, at: I64) -> tuple[list[float], list[list[float]]]:
        """Return P(engaged) at positions `at`, and what adds up to its log-odds: models, calibration, attributes."""
        pooled = ranked.scores[at]
        odds, sure = confidence(self._deployment, pooled)
        says = ranked.contributions[at]
        return sure.tolist(), np.column_stack((says[:, : self._known], odds - pooled, says[:, self._known :])).tolist()


def request_id() -> str:
    """Make a reply's name: 12 hex digits of milliseconds, then 20 random ones, so names sort by time."""
    return f"{time_ns() // 1_000_000:012x}{urandom(10).hex()}"
