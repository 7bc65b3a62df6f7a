"""The door of the loop: what callers hand in becomes frames, checked, or an error that names the place.

Nothing that passes here can fail in the fold or in the store.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np

from recengine.config import Cleaning, Moments
from recengine.errors import BadRequest
from recengine.online.state import State
from recengine.store.attributes import Shape, checked
from recengine.store.vocab import Vocabulary, valid_id
from recengine.types import MICROSECONDS_FROM, Event, Item, User
from recengine.types.frames import ConsentFrame, EventFrame, ItemFrame, UserFrame

__all__ = ("MAX_BATCH", "consent_frame", "event_frames", "events_of", "item_frames", "moment", "user_frames")

V = TypeVar("V", Item, User)

MAX_BATCH = 100_000
"""Events of one call: they are made durable together."""
USUAL = Moments.of(Cleaning())
"""What moments can be where nothing is configured."""
MAX_NAME, MAX_VALUE = 64, 1e9
"""As the types of `Event` say."""
MAX_TIME = 7_258_118_400_000_000
"""2200-01-01 in microseconds."""
_SECONDS_FROM, _MILLISECONDS_FROM, _NANOSECONDS_FROM = 10**8, 10**11, 10**17
_WHOLE = 2**62
_ID = "expected 1 to 256 bytes of text without control characters"


def events_of(given: object) -> list[Event]:
    """Make a list of events from one, or many, as `Event` or as mappings.

    Raises
    ------
    BadRequest : a field is unknown, missing, out of range or of the wrong type; the message names it.
    """
    many = [given] if isinstance(given, Event | Mapping) else given
    if isinstance(many, str | bytes) or not isinstance(many, Iterable):
        raise BadRequest(f"events: expected an Event, a mapping, or a list of them, got {type(given).__name__}")
    return [one if type(one) is Event and _typed(one) else _event(one, at) for at, one in enumerate(many)]


def _typed(event: Event) -> bool:
    """Say whether an `Event` made by keywords is as a decoded one; what is longer than an id is refused later.

    Why: in the common case the way through `convert` costs 2 us and comes to the same event.
    """
    value = event.value
    return (
        type(event.user_id) is type(event.item_id) is type(event.type) is str
        and len(event.type) <= MAX_NAME
        and (value is None or (type(value) is float and -MAX_VALUE <= value <= MAX_VALUE))
        and (event.event_id is None or type(event.event_id) is str)
        and (event.session_id is None or type(event.session_id) is str)
        and (event.request_id is None or type(event.request_id) is str)
    )


def _event(one: object, at: int) -> Event:
    if isinstance(one, Event):
        fields: Any = {name: value for name, value in msgspec.structs.asdict(one).items() if value is not None}
    elif isinstance(one, Mapping):
        fields = dict(one)
    else:
        raise BadRequest(f"events[{at}]: expected an Event or a mapping, got {type(one).__name__}")
    try:
        return msgspec.convert(fields, Event)
    except msgspec.ValidationError as err:
        raise BadRequest(f"events[{at}]: {err}", hint=f"fields: {', '.join(Event.__struct_fields__)}") from err


def event_frames(
    events: Sequence[Event], state: State, *, at: int, moments: Moments = USUAL
) -> list[EventFrame]:
    """Make frames of events whose types are right already (decoded, or by `events_of`). Cost: about 1 us an event.

    Parameters
    ----------
    at : now, in microseconds.
    moments : which can be, and in which zone they stand.

    Raises
    ------
    BadRequest : an id is none, an order is no moment or an impossible one, there are too many types or events.
    """
    if not 0 < len(events) <= MAX_BATCH:
        raise BadRequest(f"events: expected 1 to {MAX_BATCH:,}, got {len(events):,}", hint="hand them in in parts")
    ids = state.ids
    latest = at + moments.ahead
    frames = []
    for k, event in enumerate(events):
        if event.user_id not in ids.users:
            _fits(event.user_id, None, k, "user_id")
        if event.item_id not in ids.items:
            _fits(event.item_id, None, k, "item_id")
        if event.type not in ids.types:
            _fits(event.type, ids.types, k, "type")
        if event.session_id is not None:
            _fits(event.session_id, None, k, "session_id")
        if event.request_id is not None:
            _fits(event.request_id, None, k, "request_id")
        time = None if event.order is None else moment(event.order, state.kind, f"events[{k}].order", moments)
        if time is not None and state.kind != "integer" and not moments.earliest <= time <= latest:
            _possible(time, latest, state, moments, k)
        event_id = event.event_id
        if event_id is not None:
            _fits(event_id, None, k, "event_id")
        elif time is not None:
            event_id = _derived(event, time)
        frames.append(
            EventFrame(
                event.user_id,
                event.item_id,
                event.type,
                event.value,
                time,
                at,
                event_id,
                event.session_id,
                event.request_id,
            )
        )
    return frames


def _possible(time: int, latest: int, state: State, moments: Moments, at: int) -> None:
    """Refuse a moment that cannot be; a small number as the first order of all is none, but an integer."""
    if time > latest:
        raise BadRequest(f"events[{at}].order: {moments.late}", hint="check the clock")
    if state.kind is not None or time >= MICROSECONDS_FROM:
        raise BadRequest(f"events[{at}].order: {moments.early}", hint="check the clock, or `cleaning.earliest`")


def item_frames(
    items: Sequence[Item | Mapping[str, Any]], state: State, *, at: int, merge: bool, moments: Moments = USUAL
) -> list[ItemFrame]:
    """Make frames of versions of items.

    Raises
    ------
    BadRequest : a field is unknown, missing or of the wrong type; an attribute is not of the kind that it has.
    """
    claimed: dict[str, Shape] = {}
    frames = []
    for k, item in enumerate(_versions(items, Item, "items")):
        said = checked(state.items.columns, item.attributes, claimed, place=f"items[{k}].attributes")
        available = True if item.available is None and not merge else item.available
        begin = _from(item.valid_from, f"items[{k}]", at, moments)
        frames.append(ItemFrame(item.item_id, said, available, begin, merge, at))
        _fits(item.item_id, state.ids.items, k, "item_id", "items")
    return frames


def user_frames(
    users: Sequence[User | Mapping[str, Any]], state: State, *, at: int, merge: bool, moments: Moments = USUAL
) -> list[UserFrame]:
    """Make frames of versions of users; as `item_frames`."""
    claimed: dict[str, Shape] = {}
    frames = []
    for k, user in enumerate(_versions(users, User, "users")):
        said = checked(state.users.columns, user.attributes, claimed, place=f"users[{k}].attributes")
        frames.append(UserFrame(user.user_id, said, _from(user.valid_from, f"users[{k}]", at, moments), merge, at))
        _fits(user.user_id, state.ids.users, k, "user_id", "users")
    return frames


def consent_frame(user_id: str, purpose: str, *, granted: bool, at: int) -> ConsentFrame:
    """Make the frame of a consent.

    Raises
    ------
    BadRequest : the user or the purpose is no id, `granted` no truth value.
    """
    for name, text in (("user_id", user_id), ("purpose", purpose)):
        if not isinstance(text, str) or not valid_id(text):
            raise BadRequest(f"{name}: {_ID}")
    if not isinstance(granted, bool):
        raise BadRequest(f"granted: expected true or false, got {type(granted).__name__}")
    return ConsentFrame(user_id, purpose, granted, at)


def _versions(given: object, kind: type[V], what: str) -> list[V]:
    many = [given] if isinstance(given, kind | Mapping) else given
    if isinstance(many, str | bytes) or not isinstance(many, Iterable):
        raise BadRequest(f"{what}: expected a list, got {type(given).__name__}")
    found = []
    for k, one in enumerate(many):
        fields: Any = msgspec.structs.asdict(one) if isinstance(one, msgspec.Struct) else one
        try:
            found.append(msgspec.convert(fields, kind))
        except msgspec.ValidationError as err:
            raise BadRequest(f"{what}[{k}]: {err}", hint=f"fields: {', '.join(kind.__struct_fields__)}") from err
    if not 0 < len(found) <= MAX_BATCH:
        raise BadRequest(f"{what}: expected 1 to {MAX_BATCH:,}, got {len(found):,}")
    return found


def _from(valid_from: Any, where: str, at: int, moments: Moments) -> int | None:
    if valid_from is None:
        return None
    begin = moment(valid_from, "timestamp", f"{where}.valid_from", moments)
    if begin > at + moments.ahead:  # the latest version holds, whatever the day: it would be felt at once
        raise BadRequest(f"{where}.valid_from: {moments.late}", hint="put it when it is to hold")
    return begin


def moment(
    order: Any, kind: Literal["timestamp", "integer"] | None, where: str, moments: Moments = USUAL
) -> int:
    """Read an order: a datetime, an ISO text, or a number, of the kind that the store has (None = none yet).

    A number is a moment in s, ms, us or ns since 1970 by its size where orders are timestamps.

    Raises
    ------
    BadRequest : it is no moment between 1970 and 2200, or no integer.
    """
    if isinstance(order, str):
        try:
            order = datetime.fromisoformat(order)
        except ValueError:
            raise BadRequest(f"{where}: expected an ISO 8601 moment or a number, got {order[:40]!r}") from None
    if isinstance(order, np.datetime64):
        order = order.astype("datetime64[us]").item()
    if isinstance(order, np.integer):
        order = int(order)
    if isinstance(order, datetime):
        if kind == "integer":
            raise BadRequest(f"{where}: events here are ordered by integers, got a moment", hint="give an integer")
        time = _within(moments.microseconds_of(order), where)
        if kind is None and time < MICROSECONDS_FROM:  # the first event decides by its size what orders mean
            raise BadRequest(f"{where}: expected a moment after 1973 for the first event of all")
        return time
    if isinstance(order, float) and order.is_integer() and abs(order) < 2**53:
        order = int(order)
    if isinstance(order, bool) or not isinstance(order, int):
        raise BadRequest(f"{where}: expected an ISO 8601 moment or a whole number, got {type(order).__name__}")
    if kind == "integer" or (kind is None and abs(order) < _SECONDS_FROM):
        if abs(order) >= _WHOLE:
            raise BadRequest(f"{where}: expected an integer below 2**62")
        return order
    if order < _SECONDS_FROM:
        raise BadRequest(f"{where}: events here are ordered by moments, {order} is none", hint="give an ISO 8601 text")
    for least, up, down in (
        (_NANOSECONDS_FROM, 1, 1_000),
        (MICROSECONDS_FROM, 1, 1),
        (_MILLISECONDS_FROM, 1_000, 1),
        (_SECONDS_FROM, 1_000_000, 1),
    ):
        if order >= least:
            return _within(order * up // down, where)
    raise BadRequest(f"{where}: {order} is no moment")


def _within(time: int, where: str) -> int:
    if not 0 <= time <= MAX_TIME:
        raise BadRequest(f"{where}: expected a moment between 1970 and 2200")
    return time


def _fits(text: str, known: Vocabulary | None, at: int, field: str, what: str = "events") -> None:
    if (known is None or text not in known) and not valid_id(text):
        raise BadRequest(f"{what}[{at}].{field}: {_ID}")


def _derived(event: Event, time: int) -> str:
    """Make an id from the content: the same event told twice is one."""
    content = msgspec.msgpack.encode((event.user_id, event.item_id, event.type, event.value, time))
    return hashlib.blake2b(content, digest_size=16, person=b"recengine-event").hexdigest()
