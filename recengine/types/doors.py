"""What callers hand in and get back: ids are text here. The same Structs type the library, the HTTP API and the client.

Bounds stand in the types: they hold where something is decoded, from JSON or from keywords.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

__all__ = (
    "Decision",
    "Event",
    "Explanation",
    "Item",
    "Reason",
    "Receipt",
    "Recommendation",
    "Request",
    "Response",
    "SessionEvent",
    "User",
)


Id: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=256, description="1 to 256 bytes of text without control characters")
]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Ids: TypeAlias = Annotated[tuple[Id, ...], Meta(max_length=100_000)]
Labels: TypeAlias = Annotated[tuple[Annotated[str, Meta(max_length=256)], ...], Meta(max_length=1000)]
Attributes: TypeAlias = Annotated[dict[Annotated[str, Meta(min_length=1, max_length=128)], Any], Meta(max_length=1000)]
Value: TypeAlias = Annotated[float, Meta(ge=-1e9, le=1e9)]
_Told: TypeAlias = bool | Annotated[float, Meta(ge=-1e15, le=1e15)] | Annotated[str, Meta(max_length=1000)]
Told: TypeAlias = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=128)], _Told | Annotated[list[_Told], Meta(max_length=100)]],
    Meta(max_length=1000),
]
Caps: TypeAlias = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=128)], Annotated[int, Meta(ge=1, le=1000)]], Meta(max_length=100)
]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One thing that a user did with an item."""

    user_id: Id
    item_id: Id
    type: Name = "interaction"
    value: Value | None = None
    """An explicit rating or an amount; what it means is said by the event type's configuration."""
    order: Any = None
    """A datetime, or an integer that sorts; None = in the order of arrival."""
    event_id: Id | None = None
    """Makes a repeated delivery count once; None = made from the content where `order` is given, else none."""
    session_id: Id | None = None
    request_id: Id | None = None
    """The reply in which the item was shown."""


class SessionEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One thing that an anonymous visitor did, told with the request and not kept."""

    item_id: Id
    type: Name = "interaction"
    value: Value | None = None


class Receipt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of what was handed in: it is durable, and replies reflect it."""

    stored: int
    duplicates: int = 0
    """Known already, by `event_id`."""


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One version of an item."""

    item_id: Id
    attributes: Attributes = {}
    available: bool | None = None
    """None = yes for a first version and in a PUT, as it was in a PATCH."""
    valid_from: Any = None
    """A datetime; None = since ever for a first version, now for a later one."""


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One version of a user."""

    user_id: Id
    attributes: Attributes = {}
    valid_from: Any = None


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A wish for recommendations."""

    user_id: str | None = None
    """None or unknown = an anonymous, cold user."""
    n: int = 10
    filter: Annotated[str, Meta(max_length=10_000)] | None = None
    """An expression over item attributes, such as `price < 50 and category in ["shoes", "bags"]`."""
    exclude_seen: bool | Annotated[tuple[Name, ...], Meta(max_length=64)] = True
    """True: the types that the configuration marks; False: none; or the event types that hide an item."""
    categories_any: Labels = ()
    categories_all: Labels = ()
    categories_none: Labels = ()
    allow: Ids | None = None
    """Item ids that alone may be shown."""
    deny: Ids = ()
    pins: Ids = ()
    """Item ids to show first, in this order, where they are eligible."""
    caps: Caps = {}
    """At most so many items with the same value of this attribute, such as `{"brand": 2}`."""
    context: Told = {}
    """What is known of the user only now, such as `{"country": "fr"}`; goes before the user's attributes.
    Of it `device`, `location` and `referrer` are recorded, where they are short texts: features are made of them."""
    diversity: float | None = None
    """0 = relevance only .. 1 = variety only; None = as configured (1 - lambda of MMR)."""
    deadline_ms: float | None = None
    explain: bool = False
    """Add what each model contributed, and reasons in words."""
    session_id: Id | None = None
    """The visit that the request belongs to: what was recorded in it counts for a visitor who has no history."""
    events: Annotated[tuple[SessionEvent, ...], Meta(max_length=1000)] = ()
    """What the visitor did, oldest first, on top of what is recorded; not kept."""


class Reason(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Why an item stands there."""

    kind: str
    """because_of | similar_users | popular | trending | latest | demographic | cold_start | pinned | model"""
    text: str = ""
    item_id: str | None = None
    """The item of the user's history that speaks for it."""
    weight: float = 0.0


class Recommendation(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One line of a reply. Not tracked by the garbage collector: it cannot be part of a cycle, and there are many."""

    item_id: str
    score: float
    """P(engaged) 0..1 in a reply; a similarity or a popularity in the lists that are not for one user."""
    reason: str = ""
    """The kind of the leading reason."""
    reasons: tuple[Reason, ...] = ()
    contributions: dict[str, float] = {}
    """Log-odds that each model added; they sum to the log-odds of `score`.

    `demographic` is what attributes of a cold user add, `calibration` what leads from the pooled log-odds to those of
    `score`: a step that all lines take on one rising curve, so it changes no order.
    """


class Response(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A reply."""

    request_id: str
    user_id: str | None
    items: tuple[Recommendation, ...]
    version: str
    """The deployment that answered."""
    cold: bool = False
    degraded: tuple[str, ...] = ()
    """What could not be done as planned, such as `model:als:deadline`."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why one item would, or would not, be shown to one user."""

    user_id: str | None
    item_id: str
    eligible: bool
    excluded_by: tuple[str, ...] = ()
    """unavailable | blocked | seen | filter | categories | allow | deny"""
    score: float = 0.0
    """Blended P(engaged), 0..1."""
    contributions: dict[str, float] = {}
    """Log-odds that each model added; they sum to the log-odds of `score`.

    `demographic` is what attributes of a cold user add, `calibration` what leads from the pooled log-odds to those of
    `score`: a step that all lines take on one rising curve, so it changes no order.
    """
    reasons: tuple[Reason, ...] = ()
    version: str = ""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One reply as it was given."""

    request_id: str
    at: int
    """Microseconds since 1970."""
    user_id: str | None
    version: str
    cold: bool
    items: tuple[str, ...]
    """Best first; `scores`, `reasons` and `contributions` go with them. Those are empty where not all was kept."""
    scores: tuple[float, ...]
    reasons: tuple[str, ...]
    contributions: tuple[dict[str, float], ...]
    degraded: tuple[str, ...]
    batch: int
    """Requests answered together; `times` are theirs."""
    times: dict[str, int]
    """Nanoseconds by stage."""
    seq: int
    """Of the last journal frame that the reply reflects: with it, `version` and `request` it can be computed again."""
    request: str
    """The request as JSON."""
    same_as: str
    """The request_id of the kept reply that was sent again; empty = this one was computed."""
