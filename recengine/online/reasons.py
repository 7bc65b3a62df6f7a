"""Why an item is there.

The leading model's kind for every item, and on request the history items that speak for it, in words.
"""

import logging
from collections.abc import Sequence

from recengine.algorithms.als import Als
from recengine.algorithms.bpr import Bpr
from recengine.algorithms.ease import Ease
from recengine.algorithms.graph_filter import GraphFilter
from recengine.algorithms.knn import ItemKnn
from recengine.algorithms.nmf import Nmf
from recengine.algorithms.popularity import Popularity
from recengine.algorithms.svd import Svd
from recengine.algorithms.user_knn import UserKnn
from recengine.online.trace import Trace
from recengine.retrieval.deployment import Deployment, Member
from recengine.store.vocab import Vocabulary
from recengine.types import F32, Catalogue, Context, Evidence, Features, Reason

__all__ = ("Reasons", "title")

log = logging.getLogger("recengine.online")

_KINDS = {
    Als.kind: "because_of",
    Bpr.kind: "because_of",
    Ease.kind: "because_of",
    GraphFilter.kind: "because_of",
    ItemKnn.kind: "because_of",
    Nmf.kind: "because_of",
    Svd.kind: "because_of",
    UserKnn.kind: "similar_users",
    Popularity.kind: "popular",
}
_WORDS = {
    "similar_users": "Liked by users with a taste like yours",
    "popular": "Popular now",
    "trending": "Trending now",
    "latest": "New here",
    "demographic": "Liked by users like you",
    "cold_start": "A good start: liked by many",
    "pinned": "Chosen for this page",
    "model": "In keeping with your taste",
}


def title(items: Catalogue, item: int, fallback: str) -> str:
    """Name an item in words: its `title` attribute, else its id."""
    column = items.columns.get("title")
    if column is None or not 0 <= item < items.n:
        return fallback
    if column.kind == "text":
        return str(column.data[item] or fallback)
    if column.kind == "string" and column.data[item] >= 0:
        return column.labels[int(column.data[item])]
    return fallback


class Reasons:
    """Reads the members of one deployment."""

    def __init__(self, deployment: Deployment, items: Vocabulary) -> None:
        self._members = deployment.members
        self._items = items
        self._demographic = deployment.demographic
        self._kinds = [_KINDS.get(member.scorer.kind, "model") for member in deployment.members]

    def leading(self, contributions: F32) -> list[str]:
        """Name the kind of reason of the model that contributed most to each row of (n, models) contributions."""
        if len(contributions) == 0:
            return []
        models = contributions[:, : len(self._kinds)]  # what demographics add to a cold row is no model's
        return [self._kinds[m] for m in models.argmax(axis=1).tolist()]

    def of(
        self,
        context: Context,
        features: Features,
        b: int,
        item: int,
        kind: str,
        shares: Sequence[float],
        trace: Trace,
    ) -> tuple[Reason, ...]:
        """Collect up to three reasons for `item` in row `b`, of which the members contributed `shares`.

        What pinned or started it first, then history items, each once, then what many like. A model that cannot
        explain is left out, and `degraded` says so.
        """
        reasons: dict[str, Reason] = {}
        for member, share in zip(self._members, shares, strict=False):
            if share == 0 and not isinstance(member.scorer, Popularity):
                continue  # without a say in the score (no weight, dropped, or not sure enough) it has none in why
            for evidence in self._evidence(member, features, b, item, trace):
                if evidence.item == item:
                    continue  # that it was chosen before is no reason of its own
                if evidence.item < 0:
                    words = _WORDS.get(evidence.kind, "")
                    reasons.setdefault(evidence.kind, Reason(evidence.kind, words, None, evidence.weight))
                    continue
                cause = self._items.id(evidence.item)
                text = f"Because you chose {title(context.items, evidence.item, cause)}"
                reasons.setdefault(cause, Reason(evidence.kind, text, cause, evidence.weight))
        lead = [Reason(kind, _WORDS[kind])] if kind == "pinned" else []
        if kind == "cold_start":
            alike = self._demographic.explain(features.attributes[b], item) if self._demographic is not None else ()
            lead.append(Reason(kind, _WORDS["demographic" if alike else "cold_start"]))
        found = sorted(reasons.values(), key=lambda reason: (reason.item_id is None, -reason.weight))
        return tuple([*lead, *found][:3])

    def _evidence(self, member: Member, features: Features, b: int, item: int, trace: Trace) -> tuple[Evidence, ...]:
        try:
            return member.scorer.explain(features.query, b, item, top=2)
        except Exception:  # a reply without one model's words is better than none; logged and named in the reply
            log.exception("model %s cannot explain", member.name)
            trace.degrade(f"explain:{member.name}:error")
            return ()
