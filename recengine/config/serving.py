"""`[serving]`, `[diversity]`: the online spine's knobs."""

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = ("Diversity", "Serving")

Count = Annotated[int, Meta(ge=0, le=100_000)]


class Serving(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one request may cost and what it may show."""

    cold_below: Annotated[Count, Meta(description="a user with fewer interactions is cold")] = 5
    history_limit: Annotated[int, Meta(ge=1, le=100_000, description="latest items of a user that models see")] = 500
    pool: Annotated[int, Meta(ge=1, le=100_000, description="candidates of one request at most")] = 1000
    shortlist: Annotated[int, Meta(ge=1, le=10_000, description="candidates that survive the blend")] = 200
    max_n: Annotated[int, Meta(ge=1, le=10_000, description="longest reply")] = 1000
    category: Annotated[str, Meta(description="the item attribute that `categories_*` mean")] = "category"
    demographics: Annotated[tuple[str, ...], Meta(description="user attributes of the cold start; empty = all with few values")] = ()
    decision_rate: Annotated[float, Meta(ge=0, le=1, description="share of replies that are recorded in full; of the others, what is needed to compute them again")] = 1.0
    cache_entries: Annotated[int, Meta(ge=0, le=10_000_000, description="replies kept to be sent again while nothing changed; 0 = none")] = 50_000
    cache_mb: Annotated[int, Meta(ge=1, le=1_000_000, description="MiB that these may take")] = 128
    cache_seconds: Annotated[float, Meta(gt=0, le=86_400, description="time to live of a kept reply")] = 60.0
    sessions: Annotated[int, Meta(ge=0, le=10_000_000, description="visits held in memory, the latest ones")] = 100_000
    session_minutes: Annotated[
        float, Meta(gt=0, le=525_600, description="a visit ends so long after its last event, by the events' own time")
    ] = 30.0


class Diversity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Maximal marginal relevance (Carbonell and Goldstein 1998)."""

    enabled: Annotated[bool, Meta(description="rearrange the shortlist for variety")] = True
    window: Annotated[int, Meta(ge=1, le=10_000, description="only so many of the best are rearranged")] = 100
    relevance: Annotated[float, Meta(ge=0, le=1, description="lambda: 1 = relevance only, 0 = variety only")] = 0.7
