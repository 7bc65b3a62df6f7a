"""What the service counts, and how Prometheus reads it.

The door counts into plain lists and dicts (one event loop writes; about 0.5 us a request, where prometheus_client's own
counters take 3 us of locks); a custom collector turns them into metric families when `/metrics` is asked.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from recengine.engine import Engine

__all__ = ("BUCKETS", "CONTENT_TYPE", "NAMES", "Counts", "exposition", "families")

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency histogram, seconds."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counts:
    """Requests by route, method and status, and how long they took."""

    def __init__(self) -> None:
        self.answered: dict[tuple[str, str, int], int] = {}
        """By (method, route, status)."""
        self.took: dict[str, list[float]] = {}
        """By route: requests of each bucket, then those above the last, then the sum of seconds."""
        self.running = 0

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        key = (method, route, status)
        self.answered[key] = self.answered.get(key, 0) + 1
        took = self.took.get(route)
        if took is None:
            took = self.took[route] = [0.0] * (len(BUCKETS) + 2)
        took[bisect_left(BUCKETS, seconds)] += 1
        took[-1] += seconds


class _Collected(Collector):
    def __init__(self, counts: Counts, more: Callable[[], Iterable[Metric]]) -> None:
        self._counts = counts
        self._more = more

    def collect(self) -> Iterable[Metric]:
        counts = self._counts
        requests = CounterMetricFamily(
            "recengine_http_requests", "Requests answered.", labels=("method", "route", "status")
        )
        for (method, route, status), number in sorted(counts.answered.items()):
            requests.add_metric((method, route, str(status)), number)
        yield requests
        seconds = HistogramMetricFamily(
            "recengine_http_request_seconds", "Time from a request's head to the end of its answer.", labels=("route",)
        )
        for route, took in sorted(counts.took.items()):
            total, buckets = 0.0, []
            for bound, within in zip((*BUCKETS, "+Inf"), took, strict=False):
                total += within
                buckets.append((str(bound), total))
            seconds.add_metric((route,), buckets, took[-1])
        yield seconds
        yield GaugeMetricFamily("recengine_http_requests_running", "Requests being answered.", counts.running)
        yield from self._more()


def exposition(counts: Counts, more: Callable[[], Iterable[Metric]]) -> Callable[[], bytes]:
    """Return what writes the text of `/metrics`: the counts, the families that `more` gives, and the process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(counts, more))
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry)


_FACTS = {
    "users": ("gauge", "recengine_users", "Users known."),
    "items": ("gauge", "recengine_items", "Items known."),
    "events stored": ("counter", "recengine_events_stored_total", "Frames stored since the start."),
    "events known": ("counter", "recengine_events_duplicate_total", "Events passed over because they were known."),
    "journal": ("gauge", "recengine_journal_last_seq", "Number of the last durable frame."),
    "behind": ("gauge", "recengine_journal_behind", "Frames that DuckDB does not hold yet."),
    "records lost": ("counter", "recengine_decisions_lost_total", "Decisions that could not be recorded."),
    "cache hits": ("counter", "recengine_cache_hits_total", "Replies answered from those that are kept."),
    "cache misses": ("counter", "recengine_cache_misses_total", "Replies looked for among those kept, and computed."),
    "counted for features, bytes": (
        "gauge",
        "recengine_features_bytes",
        "Bytes of what features count from events.",
    ),
    "user rows found": ("counter", "recengine_feature_rows_hits_total", "Rows of users that were kept."),
    "user rows computed": ("counter", "recengine_feature_rows_misses_total", "Rows of users that were computed."),
    "feature values missing": (
        "counter",
        "recengine_feature_values_missing_total",
        "Feature values that were missing, so that defaults stood in.",
    ),
    "feature values unseen": (
        "counter",
        "recengine_feature_values_unseen_total",
        "Categories that training did not meet.",
    ),
    "replies kept": ("gauge", "recengine_cache_entries", "Replies that are kept."),
    "replies kept, bytes": ("gauge", "recengine_cache_bytes", "Bytes that they take."),
}
"""Kind, name and meaning, by the name of the engine's fact."""

_SOURCES = {
    "recengine_source_age_seconds": ("Seconds since the last good pull of a source; +Inf = there was none.", "age"),
    "recengine_source_stale": ("1 = the last good pull of a source is older than its max_age.", "stale"),
    "recengine_source_failures": ("Pulls of a source that failed since the last good one.", "failures"),
}

NAMES = (
    "recengine_http_requests_total",
    "recengine_http_request_seconds",
    "recengine_http_requests_running",
    "recengine_deployment_info",
    *(name for _, name, _ in _FACTS.values()),
    *_SOURCES,
)
"""Of all our metrics, as they are scraped."""


def families(engine: Engine) -> Iterator[Metric]:
    """Read what the engine counts."""
    facts = engine.facts()
    for fact, (kind, name, meaning) in _FACTS.items():
        family = GaugeMetricFamily if kind == "gauge" else CounterMetricFamily
        yield family(name.removesuffix("_total"), meaning, facts[fact])
    yield InfoMetricFamily("recengine_deployment", "The deployment that answers.", {"version": str(facts["live"])})
    states = engine.sources()
    for name, (meaning, what) in _SOURCES.items() if states else ():
        gauge = GaugeMetricFamily(name, meaning, labels=("source",))
        for state in states:
            age = math.inf if state.age_seconds is None else state.age_seconds
            gauge.add_metric((state.name,), {"age": age, "stale": state.stale, "failures": state.failures}[what])
        yield gauge
