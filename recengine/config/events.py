"""`[[event]]`: what each type of event says about taste. The weights start from the founding design's reward table."""

import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = ("DEFAULT_EVENTS", "EventType")


class EventType(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one type of event counts."""

    type: Annotated[str, Meta(min_length=1, max_length=64, description="the name in the data")]
    weight: Annotated[float, Meta(ge=-100, le=100, description="> 0 engaged, < 0 negative evidence, 0 ignored by models")] = 1.0
    seen: Annotated[bool, Meta(description="such an event takes the item out of the user's later replies")] = True
    hides: Annotated[bool, Meta(description="the user never sees the item again, whatever the request says")] = False
    role: Annotated[Literal["view", "engage", "convert"], Meta(description="what features count such an event as, where its weight is positive")] = "engage"
    value_neutral: Annotated[float | None, Meta(description="a value here says nothing, and leaves no rating to funk_svd either: put it between two steps of the scale; below it is negative evidence; none = values do not count")] = None
    value_full: Annotated[float | None, Meta(description="a value here counts the full weight")] = None

    def __post_init__(self) -> None:
        for name in ("value_neutral", "value_full"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} of {self.type!r} must be a finite number, got {value}")
        if (self.value_neutral is None) != (self.value_full is None):
            raise ValueError("value_neutral and value_full go together")
        if self.value_neutral is not None and self.value_full is not None and self.value_full <= self.value_neutral:
            raise ValueError(f"value_full must be above value_neutral, got {self.value_full} <= {self.value_neutral}")


DEFAULT_EVENTS = (
    EventType(type="interaction", weight=1.0),
    EventType(type="view", weight=0.5, role="view"),
    EventType(type="click", weight=1.0),
    EventType(type="like", weight=2.0),
    EventType(type="share", weight=3.0),
    EventType(type="cart", weight=4.0),
    EventType(type="purchase", weight=10.0, role="convert"),
    EventType(type="rating", weight=2.0, value_neutral=2.5, value_full=5.0),
    EventType(type="ignore", weight=0.0, seen=False),
    EventType(type="dislike", weight=-1.0),
    EventType(type="block", weight=-5.0, hides=True),
)
"""Types that the data names and this list does not count 1.0 and are reported."""
