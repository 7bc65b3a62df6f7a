"""What was sent, and what was acknowledged: the ledger that the store is compared with.

Every event of it is a (user, item) pair that occurs once, so that it can be counted without its id; `PER_USER` of them
fit into any history.
"""

import itertools
import threading
from dataclasses import dataclass, field
from typing import Any

PER_USER = 20


@dataclass
class Ledger:
    """Thread-safe. `items` are ids that the store knows."""

    items: list[str]
    prefix: str = "probe-"
    sent: dict[str, tuple[str, str]] = field(default_factory=dict)
    """event_id -> (user_id, item_id)."""
    acknowledged: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    """Replies that are wrong by themselves."""
    put: dict[str, tuple[int, int]] = field(default_factory=dict)
    """item_id -> its latest revision that was acknowledged (0 = none), and that was sent."""
    forgotten: set[str] = field(default_factory=set)
    """Users whose forgetting was acknowledged; their events have their name as event_id."""

    def __post_init__(self) -> None:
        assert len(self.items) >= PER_USER
        self._number = itertools.count()
        self._lock = threading.Lock()

    def new(self, count: int = 1) -> list[dict[str, Any]]:
        """Make events that were never sent, and note them as sent."""
        events = []
        with self._lock:
            for number in itertools.islice(self._number, count):
                event_id = f"{self.prefix}{number:07d}"
                group, place = divmod(number, PER_USER)
                user, item = f"{self.prefix}u{group}", self.items[(group * 3 + place) % len(self.items)]
                self.sent[event_id] = (user, item)
                events.append({"event_id": event_id, "user_id": user, "item_id": item, "type": "click"})
        return events

    def one_of(self, kind: str) -> str:
        """Make a name that was never used."""
        with self._lock:
            return f"{self.prefix}{kind}{next(self._number):07d}"

    def acknowledge(self, events: list[dict[str, Any]], stored: int, duplicates: int, *, again: bool) -> None:
        """Note a 2xx: what it said must fit what was sent."""
        ids = {event["event_id"] for event in events}
        with self._lock:
            known = len(ids & self.acknowledged)
            self.acknowledged |= ids
            if stored + duplicates != len(events):
                self.complaints.append(f"{len(events)} sent, {stored} stored and {duplicates} known")
            if duplicates < known:
                self.complaints.append(f"{known} had been acknowledged, but only {duplicates} were known")
            if duplicates and not again:
                self.complaints.append(f"{duplicates} were called known, but were never sent before")

    def complain(self, what: str) -> None:
        """Note a reply that should not be."""
        with self._lock:
            self.complaints.append(what)
