"""Stages 3 and 7, rules: what may be shown at all, and what the business wants of the order.

`eligible` strikes items out of the catalogue before any candidate is picked, so that a filter can never empty a
reply that could be full. `shape` reorders and removes (pins, caps); it never adds.
"""

import numpy as np

from recengine.config import EventType, Serving
from recengine.errors import BadRequest
from recengine.expressions import depends_on_now, parse
from recengine.expressions import mask as evaluate
from recengine.features.interaction import type_bits
from recengine.online.caps import Caps
from recengine.online.state import State
from recengine.online.trace import Trace
from recengine.store.vocab import Vocabulary
from recengine.types import I32, Catalogue, Context, Mask, Ranked, Request

__all__ = ("Rules",)

_FILTERS_KEPT = 256


class Rules:
    """Everything that decides by rule and not by score."""

    def __init__(self, state: State, items: Vocabulary, events: tuple[EventType, ...], config: Serving) -> None:
        self._state = state
        self._items = items
        self._events = {event.type: event for event in events}
        self._category = config.category
        self._filters: tuple[Catalogue, dict[str, Mask]] = (state.items, {})
        self._bits: dict[tuple[tuple[str, ...], bool | tuple[str, ...]], tuple[int, int]] = {}

    def eligible(self, context: Context, trace: Trace) -> Mask:
        """Say which items each request may show: (B, n_items) uint8.

        Struck out: unavailable items, items the user blocked, seen ones as the request asks, denied ones, those
        outside `allow`, the categories and the filter. Ids that do not exist strike nothing and are noted in
        `degraded`.
        """
        mask = np.empty((len(context.requests), context.items.n), np.uint8)
        mask[:] = context.items.available
        for b, request in enumerate(context.requests):
            row = mask[b]
            for _, text in self._expressions(request):
                row &= self._filter(text, context)
            if request.allow is not None:
                allowed = np.zeros(len(row), np.uint8)
                allowed[self.rows(request.allow, "allow", context, b, trace)] = 1
                row &= allowed
            if request.deny:
                row[self.rows(request.deny, "deny", context, b, trace)] = 0
            user = int(context.users[b])
            if user >= 0:
                seen, hidden = self._kinds(request.exclude_seen)
                touched = self._state.histories.touched(user, seen | hidden)
                row[touched[touched < len(row)]] = 0
        trace.mark("eligibility")
        return mask

    def rows(self, ids: tuple[str, ...], field: str, context: Context, b: int, trace: Trace) -> I32:
        """Turn a request's item ids into rows; unknown ones are left out and noted."""
        rows = self._items.rows(ids)
        known = rows[(rows >= 0) & (rows < context.items.n)]  # an item of the next snapshot is not known yet
        if len(known) < len(rows):
            trace.degrade(f"{field}:unknown_items:{len(rows) - len(known)}", b)
        return known

    def shape(self, context: Context, ranked: Ranked, trace: Trace) -> Ranked:
        """Put pins first and enforce caps; untouched where no request asks for either."""
        if any(r.pins or r.caps for r in context.requests):
            ranked = self._shape(context, ranked, trace)
        trace.mark("rules")
        return ranked

    def _shape(self, context: Context, ranked: Ranked, trace: Trace) -> Ranked:
        order: list[np.ndarray] = []
        pinned = np.zeros(len(context.requests), np.int32)
        for b, request in enumerate(context.requests):
            lo, hi = int(ranked.indptr[b]), int(ranked.indptr[b + 1])
            items = ranked.items[lo:hi]
            positions = np.arange(hi - lo)
            if request.pins:
                place = {item: at for at, item in enumerate(items.tolist())}
                first = [
                    place[item] for item in dict.fromkeys(self._items.rows(request.pins).tolist()) if item in place
                ]
                if len(first) < len(set(request.pins)):
                    trace.degrade(f"pins:not_eligible:{len(set(request.pins)) - len(first)}", b)
                positions = np.concatenate((np.array(first, np.int64), np.delete(positions, first)))
                pinned[b] = len(first)
            if request.caps:
                kept = Caps(request.caps, context.items).keep(items[positions])
                pinned[b] = sum(1 for at in kept if at < pinned[b])
                positions = positions[kept]
            order.append(positions + lo)
        indptr = np.concatenate(([0], np.cumsum([len(rows) for rows in order]))).astype(np.int64)
        flat = np.concatenate(order) if order else np.empty(0, np.int64)
        return Ranked(
            indptr,
            ranked.items[flat],
            ranked.scores[flat],
            ranked.contributions[flat],
            ranked.sources[flat],
            ranked.models,
            ranked.names,
            pinned,
        )

    def excluded_by(self, context: Context, item: int) -> tuple[str, ...]:
        """Name every rule that keeps `item` from the first request of the batch."""
        request, user = context.requests[0], int(context.users[0])
        found = [] if context.items.available[item] else ["unavailable"]
        if user >= 0:
            seen, hidden = self._kinds(request.exclude_seen)
            found += [
                name
                for name, bits in (("blocked", hidden), ("seen", seen))
                if item in self._state.histories.touched(user, bits)
            ]
        found += dict.fromkeys(
            name for name, text in self._expressions(request) if not self._filter(text, context)[item]
        )
        item_id = self._items.id(item)
        if request.allow is not None and item_id not in request.allow:
            found.append("allow")
        if item_id in request.deny:
            found.append("deny")
        return tuple(found)

    def _expressions(self, request: Request) -> list[tuple[str, str]]:
        texts = [("filter", request.filter)] if request.filter else []
        if request.categories_any:
            texts.append(("categories", f"`{self._category}` in {_quoted(request.categories_any)}"))
        texts += [
            ("categories", f"`{self._category}` == {_quoted((label,))[1:-1]}") for label in request.categories_all
        ]
        if request.categories_none:
            texts.append(("categories", f"not (`{self._category}` in {_quoted(request.categories_none)})"))
        return texts

    def _filter(self, text: str, context: Context) -> Mask:
        of, masks = self._filters
        if of is not context.items:
            masks = {}
            self._filters = (context.items, masks)
        found = masks.get(text)
        if found is None:
            tree = parse(text)
            found = evaluate(tree, context.items, now=context.now)
            if depends_on_now(tree):
                return found
            if len(masks) >= _FILTERS_KEPT:
                masks.clear()
            masks[text] = found
        return found

    def _kinds(self, exclude_seen: bool | tuple[str, ...]) -> tuple[int, int]:
        types = self._state.types
        key = (types, exclude_seen)
        found = self._bits.get(key)
        if found is None:
            if isinstance(exclude_seen, tuple):
                unknown = sorted(set(exclude_seen) - set(types) - set(self._events))
                if unknown:
                    raise BadRequest(
                        f"exclude_seen: no event type {unknown[0]!r}",
                        hint=f"known: {', '.join(sorted({*types, *self._events}))}",
                    )
                wanted = frozenset(exclude_seen)
            else:
                wanted = frozenset(t for t in types if exclude_seen and (t not in self._events or self._events[t].seen))
            hides = frozenset(t for t in types if t in self._events and self._events[t].hides)
            if len(self._bits) >= _FILTERS_KEPT:
                self._bits.clear()
            found = self._bits[key] = (type_bits(types, wanted), type_bits(types, hides))
        return found


def _quoted(labels: tuple[str, ...]) -> str:
    escaped = (label.replace("\\", "\\\\").replace('"', '\\"') for label in labels)
    return "[" + ", ".join(f'"{label}"' for label in escaped) + "]"
