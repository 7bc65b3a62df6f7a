"""Stage 1, context: who asks, when, against which catalogue; cold or warm. Requests in, `Context` out.

Unknown users are not an error: what their session did stands for what they did, and without one they are cold. What a
request tells of its visitor comes after all that is recorded. A field out of range is one, and names itself.
"""

from time import time_ns

import msgspec
import numpy as np

from recengine.config import Serving
from recengine.errors import BadRequest
from recengine.online.histories import Happening, Histories, folded
from recengine.online.state import State
from recengine.online.trace import Trace
from recengine.store.vocab import Vocabulary, valid_id
from recengine.types import Catalogue, Context, History, Request

__all__ = ("PERSONALISATION", "Resolver")

PERSONALISATION = "personalisation"
"""The purpose without which a user is answered as nobody in particular."""
_NOT_YET = int(np.iinfo(np.int64).max)
"""Stands for the number of an event that is not recorded."""


class Resolver:
    """Turns ids into rows and tells cold users from warm ones."""

    def __init__(self, state: State, users: Vocabulary, items: Vocabulary, config: Serving) -> None:
        self._state = state
        self._users = users
        self._items = items
        self._config = config

    def resolve(self, requests: tuple[Request, ...], trace: Trace, threads: int) -> Context:
        """Resolve B requests.

        Raises
        ------
        BadRequest : a field is out of range.
        """
        now = time_ns() // 1000
        held = self._state.histories
        rows = []
        for request in requests:
            self._check(request)
            rows.append(self._row(request.user_id))
        # one look at each history, so that no stage sees a user at another moment
        refused = tuple([self._refuses(request) for request in requests])
        histories = [
            self._history(held, request, row, now, refused=no)
            for request, row, no in zip(requests, rows, refused, strict=True)
        ]
        items = self._state.items  # after the histories: their items are in it
        for b, request in enumerate(requests):
            if request.events and refused[b]:
                trace.degrade("events:not_allowed", b)
            elif request.events:
                histories[b] = self._extended(histories[b], request, b, held, items, now, trace)
        cold = np.array([len(history.items) < self._config.cold_below for history in histories], np.bool_)
        trace.mark("context")
        return Context(requests, np.array(rows, np.int32), tuple(histories), cold, now, items, threads, refused)

    def one(self, request: Request) -> Context:
        """Resolve one request that nobody waits for; raises as `resolve`."""
        return self.resolve((request,), Trace((request,)), 1)

    def _row(self, user_id: str | None) -> int:
        """Find a user; one who does not allow it is not known here."""
        row = -1 if user_id is None else self._users.row(user_id)
        return -1 if (row, PERSONALISATION) in self._state.refused else row

    def _history(self, held: Histories, request: Request, row: int, now: int, *, refused: bool) -> History:
        if row < 0 and request.session_id is not None and not refused:
            visit = self._state.sessions.history(request.session_id, now)
            if visit is not None:
                return visit
        return held.row(row)

    def _refuses(self, request: Request) -> bool:
        """Say whether the user of a request, or of its session, does not allow to be known."""
        refused = self._state.refused
        if not refused:
            return False
        user = -1 if request.user_id is None else self._users.row(request.user_id)
        owner = -1 if request.session_id is None else self._state.sessions.owner(request.session_id)
        return (user, PERSONALISATION) in refused or (owner, PERSONALISATION) in refused

    def _extended(
        self, row: History, request: Request, b: int, held: Histories, items: Catalogue, now: int, trace: Trace
    ) -> History:
        """Add what the request tells; its events have no number yet, so they are later than any deployment."""
        meanings = held.meanings(self._state.types)
        last = max(now, int(row.times[-1]) if len(row.times) else now)
        block: list[Happening] = []
        unknown = 0
        for event in request.events:
            item = self._items.row(event.item_id)
            if not 0 <= item < items.n:
                unknown += 1
                continue
            weight, bits = meanings.told(event.type, event.value)
            rating = meanings.told_rating(event.type, event.value)
            block.append((item, weight, last, bits, _NOT_YET, rating))
        if unknown:
            trace.degrade(f"events:unknown_items:{unknown}", b)
        return folded(row, block)

    def _check(self, request: Request) -> None:
        if not 1 <= request.n <= self._config.max_n:
            raise BadRequest(
                f"n: expected 1..{self._config.max_n}, got {request.n}", hint="`serving.max_n` sets the longest reply"
            )
        user = request.user_id
        if user is not None and self._users.row(user) < 0 and not valid_id(user):
            raise BadRequest("user_id: expected 1 to 256 bytes of text without control characters")
        if request.diversity is not None and not 0 <= request.diversity <= 1:
            raise BadRequest(f"diversity: expected 0..1, got {request.diversity}")
        if request.deadline_ms is not None and not request.deadline_ms > 0:
            raise BadRequest(f"deadline_ms: expected > 0, got {request.deadline_ms}")
        for field, ids in (
            ("allow", request.allow or ()),
            ("deny", request.deny),
            ("pins", request.pins),
            ("events", tuple(event.item_id for event in request.events)),
        ):
            wrong = next((text for text in ids if text not in self._items and not valid_id(text)), None)
            if wrong is not None:
                raise BadRequest(f"{field}: {wrong[:40]!r} is no id: 1 to 256 bytes of text without control characters")
        others = ("session_id", (request.session_id,)), ("events", tuple(event.type for event in request.events))
        for field, texts in others:
            if not all(text is None or valid_id(text) for text in texts):
                raise BadRequest(f"{field}: expected 1 to 256 bytes of text without control characters")
        if request.caps or request.context:  # who builds a Request by hand is held to what its type says
            try:
                msgspec.convert({"caps": request.caps, "context": request.context}, Request)
            except msgspec.ValidationError as err:
                raise BadRequest(f"request: {err}", hint="caps are 1..1000; context has plain values") from err
