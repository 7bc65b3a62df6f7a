"""What the journal holds: one frame a thing that happened, in the order in which it counts.

Online state is a fold over these (`online/state.py`), live, after a restart and in a replay alike. Ids are text: rows
are given by the fold. Encoded as msgpack arrays with a tag; a field is only ever added, at the end, with a default.
"""

from typing import Any, TypeAlias

import msgspec

__all__ = (
    "ConsentFrame",
    "DecisionFrame",
    "EraseFrame",
    "EventFrame",
    "Frame",
    "IngestFrame",
    "ItemFrame",
    "UserFrame",
    "decode_frame",
    "encode_frame",
)


class EventFrame(msgspec.Struct, frozen=True, array_like=True, tag="event", tag_field="frame", gc=False):
    """A user did something with an item."""

    user_id: str
    item_id: str
    type: str
    value: float | None
    time: int | None
    """Microseconds since 1970, or the feed's own integers; None = after all that is there."""
    at: int
    """When it reached us, microseconds since 1970."""
    event_id: str | None = None
    session_id: str | None = None
    request_id: str | None = None


class ItemFrame(msgspec.Struct, frozen=True, array_like=True, tag="item", tag_field="frame"):
    """A version of an item."""

    item_id: str
    attributes: dict[str, Any]
    """None = the attribute is taken away."""
    available: bool | None
    """None = as it was."""
    valid_from: int | None
    """Microseconds since 1970; None = since ever for a first version, else from `at` on, after all there is."""
    merge: bool
    """True: what is not said stays; False: it is gone."""
    at: int = 0
    """When it reached us, microseconds since 1970."""


class UserFrame(msgspec.Struct, frozen=True, array_like=True, tag="user", tag_field="frame"):
    """A version of a user; fields as in `ItemFrame`."""

    user_id: str
    attributes: dict[str, Any]
    valid_from: int | None
    merge: bool
    at: int = 0


class DecisionFrame(msgspec.Struct, frozen=True, array_like=True, tag="decision", tag_field="frame", gc=False):
    """A reply as it was given: in full, by what is needed to compute it again, or as a reference to another."""

    request_id: str
    at: int
    user_id: str | None
    version: str
    cold: bool = False
    items: tuple[str, ...] = ()
    """Best first; `scores`, `reasons` and `contributions` go with them, and are empty where not all was kept."""
    scores: tuple[float, ...] = ()
    reasons: tuple[str, ...] = ()
    contributions: tuple[dict[str, float], ...] = ()
    degraded: tuple[str, ...] = ()
    batch: int = 1
    """Requests answered together; `times` are theirs."""
    times: dict[str, int] = {}
    """Nanoseconds by stage."""
    seq: int = -1
    """Of the last frame folded before the reply: with it and `request` the reply can be computed again."""
    request: str = ""
    """The request as JSON, without `events`; of its `context` device, location and referrer alone."""
    same_as: str = ""
    """The request_id of the kept reply that was sent again."""


class ConsentFrame(msgspec.Struct, frozen=True, array_like=True, tag="consent", tag_field="frame", gc=False):
    """A user allowed, or no longer allows, a purpose."""

    user_id: str
    purpose: str
    granted: bool
    at: int


class EraseFrame(msgspec.Struct, frozen=True, array_like=True, tag="erase", tag_field="frame", gc=False):
    """A user is forgotten."""

    user_id: str
    at: int


class IngestFrame(msgspec.Struct, frozen=True, array_like=True, tag="ingest", tag_field="frame", gc=False):
    """An ingest was committed to the database: what it brought is not in the journal."""

    ingests: int
    """How many there were, this one included; `meta` holds the same number."""


Frame: TypeAlias = EventFrame | ItemFrame | UserFrame | DecisionFrame | ConsentFrame | EraseFrame | IngestFrame

encode_frame = msgspec.msgpack.Encoder().encode
decode_frame = msgspec.msgpack.Decoder(Frame).decode
