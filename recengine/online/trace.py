"""The record of one run of the online spine: what each stage took, and what could not be done as planned.

Explanations, metrics, the decision log and debugging come from this one record. One trace serves one batch.
"""

from time import perf_counter_ns

from recengine.types import Request

__all__ = ("Trace",)


class Trace:
    """Times and reasons of one batch."""

    __slots__ = ("_last", "deadline", "degraded", "notes", "started", "times")

    def __init__(self, requests: tuple[Request, ...]) -> None:
        self.started = self._last = perf_counter_ns()
        limits = [r.deadline_ms for r in requests if r.deadline_ms is not None]
        self.deadline = self.started + min(limits) * 1e6 if limits else None
        """perf_counter_ns by which the batch must answer: the earliest deadline in it."""
        self.times: dict[str, int] = {}
        """Nanoseconds by stage."""
        self.degraded: list[str] = []
        """What the whole batch lost."""
        self.notes: dict[int, list[str]] = {}
        """What one row lost."""

    def mark(self, stage: str) -> None:
        """Book the time since the last mark on `stage`."""
        now = perf_counter_ns()
        self.times[stage] = now - self._last
        self._last = now

    def overdue(self, share: float = 1.0) -> bool:
        """Tell whether `share` of the time up to the deadline is over; never without a deadline."""
        if self.deadline is None:
            return False
        return perf_counter_ns() >= self.started + (self.deadline - self.started) * share

    def degrade(self, reason: str, row: int | None = None) -> None:
        """Note what could not be done, for the batch or for one row."""
        if row is None:
            if reason not in self.degraded:
                self.degraded.append(reason)
        else:
            self.notes.setdefault(row, []).append(reason)

    def reasons(self, row: int) -> tuple[str, ...]:
        """Collect what row `row` lost."""
        return (*self.degraded, *self.notes.get(row, ()))
