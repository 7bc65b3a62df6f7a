"""Stages 3 and 7, rules: what may be shown at all, and what the business wants of the order.

`eligible` strikes items out of the catalogue before any candidate is picked, so that a filter can never empty a
reply that could be full. `shape` reorders and removes (pins, caps); it never adds.
"""

from operator import is_

import numpy as np

from recengine.config import EventType, Serving
from recengine.errors import BadRequest
from recengine.expressions import Expression, attributes, depends_on_now, parse
from recengine.expressions import mask as evaluate
from recengine.expressions.tree import Compare, Not, Within
from recengine.features.interaction import HIDES, LAST_TYPE, SEEN, type_bit
from recengine.online.caps import Caps
from recengine.online.state import State
from recengine.online.trace import Trace
from recengine.store.vocab import Vocabulary
from recengine.types import I32, Column, Context, Mask, Ranked, Request

__all__ = ("Rules",)

_KEPT = 256
"""Filters whose masks are kept, a byte an item each."""
_SEEN, _NOT_SEEN = np.uint64(HIDES | SEEN), np.uint64(HIDES)
"""What strikes an item out where what was seen does, and where it does not."""


class Rules:
    """Everything that decides by rule and not by score."""

    def __init__(self, state: State, items: Vocabulary, events: tuple[EventType, ...], config: Serving) -> None:
        self._state = state
        self._items = items
        self._events = {event.type: event for event in events}
        self._category = config.category
        self._filters: dict[Expression, tuple[tuple[Column | None, ...], Mask]] = {}
        """By tree: the columns that it read, and its mask; it holds as long as they are the same objects."""

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
            for _, tree in self._expressions(request):
                row &= self._filter(tree, context)
            if request.allow is not None:
                allowed = np.zeros(len(row), np.uint8)
                allowed[self.rows(request.allow, "allow", context, b, trace)] = 1
                row &= allowed
            if request.deny:
                row[self.rows(request.deny, "deny", context, b, trace)] = 0
            held = context.histories[b]
            if len(held.touched):
                struck = held.touched[(held.bits & self._bits(request.exclude_seen)) != 0]
                if held.touched[-1] >= len(row):  # they ascend; one that is newer than the snapshot is rare
                    struck = struck[struck < len(row)]
                row[struck] = 0
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
        request, held = context.requests[0], context.histories[0]
        found = [] if context.items.available[item] else ["unavailable"]
        mine = int(held.bits[held.touched == item].sum())  # one entry or none
        found += ["blocked"] if mine & HIDES else []
        found += ["seen"] if mine & int(self._bits(request.exclude_seen)) & ~HIDES else []
        found += dict.fromkeys(
            name for name, tree in self._expressions(request) if not self._filter(tree, context)[item]
        )
        item_id = self._items.id(item)
        if request.allow is not None and item_id not in request.allow:
            found.append("allow")
        if item_id in request.deny:
            found.append("deny")
        return tuple(found)

    def _expressions(self, request: Request) -> list[tuple[str, Expression]]:
        found: list[tuple[str, Expression]] = [("filter", parse(request.filter))] if request.filter else []
        if request.categories_any:
            found.append(("categories", Within(self._category, request.categories_any)))
        found += [("categories", Compare(self._category, "==", label)) for label in request.categories_all]
        if request.categories_none:
            found.append(("categories", Not(Within(self._category, request.categories_none))))
        return found

    def _filter(self, tree: Expression, context: Context) -> Mask:
        items, kept = context.items, self._filters.get(tree)
        read = tuple(items.columns.get(name) for name in sorted(attributes(tree)))
        if kept is not None and len(kept[1]) == items.n and all(map(is_, kept[0], read)):
            return kept[1]
        found = evaluate(tree, items, now=context.now)
        if not depends_on_now(tree):
            if len(self._filters) >= _KEPT:
                self._filters.clear()
            self._filters[tree] = (read, found)
        return found

    def _bits(self, exclude_seen: bool | tuple[str, ...]) -> np.uint64:
        """Return the bits of `features.interaction` that strike an item out."""
        if not isinstance(exclude_seen, tuple):
            return _SEEN if exclude_seen else _NOT_SEEN
        bits, types = HIDES, self._state.types
        for name in exclude_seen:
            code = types.index(name) if name in types else -1
            if code > LAST_TYPE:
                raise BadRequest(f"exclude_seen: only the first {LAST_TYPE + 1} event types can be named, not {name!r}")
            if code < 0 and name not in self._events:
                known = ", ".join(sorted({*types, *self._events}))
                raise BadRequest(f"exclude_seen: no event type {name!r}", hint=f"known: {known}")
            bits |= type_bit(code) if code >= 0 else 0
        return np.uint64(bits)
