"""The last look before the journal, on the one thread that writes it: what the door could not know.

Between the door and this thread others may have brought the same event, the thousandth type, or the first event, which
decides what an order means. What passes here can be folded; a replay looks the same way at what the journal holds.
"""

from collections.abc import Sequence

from recengine.errors import BadRequest
from recengine.online.recent import Recent
from recengine.online.state import State, kind_of
from recengine.store.events import OrderKind
from recengine.types.frames import EventFrame, Frame

__all__ = ("MAX_TYPES", "Admission")

MAX_TYPES = 1_000
"""Event types there may be."""


class Admission:
    """Remembers what was let in, whether or not it is folded yet. One thread.

    Parameters
    ----------
    recent : ids of the latest events.
    """

    def __init__(self, state: State, recent: Recent) -> None:
        self.recent = recent
        self._state = state
        self._configured = state.configured
        self._types: set[str] = set()
        self._kind: OrderKind | None = None

    def screen(self, frames: Sequence[Frame]) -> list[bool]:
        """Say which frames count: all but events whose id is known; those let in are known from then on.

        Raises
        ------
        BadRequest : there would be too many types, or the order of an event is of the other kind; none was let in.
        """
        events = [frame for frame in frames if isinstance(frame, EventFrame)]
        if events:
            self._check(events)
        counts = []
        for frame in frames:
            event_id = frame.event_id if isinstance(frame, EventFrame) else None
            known = event_id is not None and event_id in self.recent
            if event_id is not None and not known:
                self.recent.add((event_id,))
            counts.append(not known)
        return counts

    def take_back(self, frames: Sequence[Frame]) -> None:
        """Forget events that could not be made durable, so that they may come again."""
        self.recent.discard(f.event_id for f in frames if isinstance(f, EventFrame) and f.event_id is not None)

    def _check(self, events: Sequence[EventFrame]) -> None:
        known = self._state.ids.types
        new = {event.type for event in events if event.type not in known} - self._configured
        if new:
            self._types = {name for name in self._types if name not in known}
            if len(known) + len(self._types | new) > MAX_TYPES:  # what is configured always fits
                raise BadRequest(f"events: there are {MAX_TYPES} types already, {min(new)!r} is a new one")
        if self._state.kind is None:  # nothing is folded yet: the first decides
            kind = self._kind or kind_of(events[0].time)
            for at, event in enumerate(events):
                if event.time is not None and kind_of(event.time) != kind:
                    raise BadRequest(f"events[{at}].order: the first event decided that orders are {kind}s here")
            self._kind = kind
        self._types |= new
