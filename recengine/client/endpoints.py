"""The endpoints: one method each, with the names and the types of `Engine`."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import msgspec

from recengine.client.transport import Transport
from recengine.errors import BadRequest
from recengine.types import Decision, Event, Explanation, Item, Receipt, Recommendation, Request, Response, User

__all__ = ("Client",)

T = TypeVar("T")


class _Replies(msgspec.Struct, frozen=True):
    responses: list[Response]


class _Listed(msgspec.Struct, frozen=True):
    items: tuple[Recommendation, ...]


class _Neighbour(msgspec.Struct, frozen=True):
    user_id: str
    similarity: float


class _Neighbours(msgspec.Struct, frozen=True):
    users: tuple[_Neighbour, ...]


class _Items(msgspec.Struct, frozen=True):
    items: list[Item]
    next: str | None = None


class _Users(msgspec.Struct, frozen=True):
    users: list[User]
    next: str | None = None


class Client:
    """A served engine. Thread-safe; use it as a context manager, or call `close()`.

    Parameters
    ----------
    url : where the server is, such as `http://127.0.0.1:8000`.
    key : the API key; None = the server asks for none.
    timeout : seconds to connect, and to wait for each part of a reply; of one try.
    retries : further tries after a lost connection, 429, 502 or 503, with growing pauses.

    Raises
    ------
    BadUsage : `url` is no http(s) address, or `key` cannot stand in a header.

    Every method raises `ServerUnreachable` when no try got an answer, and otherwise what `Engine` raises.
    """

    def __init__(self, url: str, key: str | None = None, *, timeout: float = 10.0, retries: int = 4) -> None:
        self._server = Transport(url, key, timeout=timeout, retries=retries)

    def close(self) -> None:
        """Let the connections go. Closing twice is fine."""
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------ ask

    def recommend(self, user: str | Request | None = None, n: int = 10, **wishes: Any) -> Response:
        """Recommend items to one user; `wishes` are further fields of `Request`, such as `filter="price < 50"`."""
        request = _asked(user, n, wishes)
        if request.user_id is not None and request == Request(user_id=request.user_id, n=request.n):
            path = f"/v1/users/{_segment(request.user_id)}/recommendations"  # the server keeps these replies
            return self._server.ask(Response, "GET", path, params={"n": request.n})
        return self._server.ask(Response, "POST", "/v1/recommendations", request)

    def recommend_batch(self, users: Iterable[str | Request], n: int = 10, **wishes: Any) -> list[Response]:
        """Recommend to many users at once, in their order."""
        if isinstance(users, str):
            raise BadRequest("users: expected a list of ids, got str", hint="`recommend` answers one user")
        requests = [_asked(user, n, wishes) for user in users]
        return self._server.ask(_Replies, "POST", "/v1/recommendations/batch", {"requests": requests}).responses

    def rank(self, items: Sequence[str], user: str | None = None, **wishes: Any) -> Response:
        """Put `items` in the order in which `user` should see them."""
        return self._server.ask(Response, "POST", "/v1/rankings", {"items": list(items), "user_id": user, **wishes})

    def session(self, events: Sequence[Any] = (), n: int = 10, **wishes: Any) -> Response:
        """Recommend to an anonymous visitor who did `events`, oldest first: `SessionEvent` or mappings, not kept."""
        request = _asked(None, n, {"events": [_plain(event) for event in events], **wishes})
        return self._server.ask(Response, "POST", "/v1/sessions/recommendations", request)

    def similar_items(self, item: str, n: int = 10) -> tuple[Recommendation, ...]:
        """List the items most like `item`."""
        return self._server.ask(_Listed, "GET", f"/v1/items/{_segment(item)}/similar", params={"n": n}).items

    def similar_users(self, user: str, n: int = 10) -> tuple[tuple[str, float], ...]:
        """List the users most like `user` with their similarity."""
        found = self._server.ask(_Neighbours, "GET", f"/v1/users/{_segment(user)}/similar", params={"n": n})
        return tuple((neighbour.user_id, neighbour.similarity) for neighbour in found.users)

    def popular(self, n: int = 10, *, category: str | None = None) -> tuple[Recommendation, ...]:
        """List the most popular items, of one category or of all."""
        chosen = {} if category is None else {"category": category}
        return self._server.ask(_Listed, "GET", "/v1/items/popular", params={"n": n, **chosen}).items

    def trending(self, n: int = 10) -> tuple[Recommendation, ...]:
        """List what is popular of late."""
        return self._server.ask(_Listed, "GET", "/v1/items/trending", params={"n": n}).items

    def latest(self, n: int = 10) -> tuple[Recommendation, ...]:
        """List the newest items."""
        return self._server.ask(_Listed, "GET", "/v1/items/latest", params={"n": n}).items

    def decision(self, request_id: str) -> Decision:
        """Look up what was shown under `request_id`, with each item's score, reason and contributions.

        Raises
        ------
        UnknownReply : no such reply is recorded.
        """
        return self._server.ask(Decision, "GET", f"/v1/recommendations/{_segment(request_id)}/explanation")

    def explanation(self, request_id: str, item: str) -> Explanation:
        """Say why `item` was, or was not, shown in the reply `request_id`.

        Raises
        ------
        UnknownReply : no such reply is recorded.
        """
        path = f"/v1/recommendations/{_segment(request_id)}/explanation"
        return self._server.ask(Explanation, "GET", path, params={"item_id": item})

    # ------------------------------------------------------------------------------------------------ tell

    def record(self, events: Event | Mapping[str, Any] | Sequence[Event | Mapping[str, Any]]) -> Receipt:
        """Record what users did, up to 1,000 events, all or none; returns when they are durable and felt.

        An event without `order` and `event_id` gets an `event_id` here; one with `order` has it from its content.
        """
        several = [events] if isinstance(events, Event | Mapping) else list(events)
        return self._server.ask(Receipt, "POST", "/v1/events", [_named(_checked(event, Event)) for event in several])

    def put_items(self, items: Sequence[Item | Mapping[str, Any]], *, merge: bool = False) -> Receipt:
        """Describe items, new or known; with `merge`, what is not said stays and None takes an attribute away."""
        body = [_checked(item, Item) for item in items]
        return self._server.ask(Receipt, "PATCH" if merge else "PUT", "/v1/items", body)

    def put_users(self, users: Sequence[User | Mapping[str, Any]], *, merge: bool = False) -> Receipt:
        """Describe users, as `put_items`."""
        body = [_checked(user, User) for user in users]
        return self._server.ask(Receipt, "PATCH" if merge else "PUT", "/v1/users", body)

    def item(self, item: str) -> Item:
        """Look up what is known of an item."""
        return self._server.ask(Item, "GET", f"/v1/items/{_segment(item)}")

    def user(self, user: str) -> User:
        """Look up what is known of a user."""
        return self._server.ask(User, "GET", f"/v1/users/{_segment(user)}")

    def items(self, after: str = "", limit: int = 100) -> tuple[list[Item], str | None]:
        """List items from the cursor `after` on; returns them and the next cursor, None at the end."""
        found = self._server.ask(_Items, "GET", "/v1/items", params=_page(after, limit))
        return found.items, found.next

    def list_users(self, after: str = "", limit: int = 100) -> tuple[list[User], str | None]:
        """List users, as `items`."""
        found = self._server.ask(_Users, "GET", "/v1/users", params=_page(after, limit))
        return found.users, found.next

    def remove_item(self, item: str) -> None:
        """Take an item out of all replies; describing it again brings it back.

        Raises
        ------
        UnknownItem : nothing has that name.
        """
        self._server.send("DELETE", f"/v1/items/{_segment(item)}")

    def forget(self, user: str) -> None:
        """Forget a user in every home of user data.

        Raises
        ------
        UnknownUser : nobody has that name.
        """
        self._server.send("DELETE", f"/v1/users/{_segment(user)}")

    def metrics(self) -> str:
        """Read all counters, as Prometheus does."""
        return self._server.send("GET", "/metrics").decode()

    def openapi(self) -> dict[str, Any]:
        """Read the description of the API."""
        return self._server.ask(dict[str, Any], "GET", "/openapi.json")

    def ready(self) -> bool:
        """Tell whether the server can answer now; asked once, False also where there is none."""
        return self._server.answers("/health/ready")


def _asked(user: str | Request | None, n: int, wishes: Mapping[str, Any]) -> Request:
    if not isinstance(user, Request):
        return _checked({"user_id": user, "n": n, **wishes}, Request)
    if wishes or n not in {10, user.n}:
        raise BadRequest("recommend: a Request says all itself, got further wishes", hint="put them in the Request")
    return user


def _checked(value: Any, kind: type[T]) -> T:
    """Hold `value` to the bounds of its type before it travels: a Struct made by hand was never checked."""
    try:
        return msgspec.convert(_plain(value), kind)
    except msgspec.ValidationError as err:
        raise BadRequest(f"{kind.__name__.lower()}: {err}") from err


def _plain(value: Any) -> Any:
    return msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else value


def _named(event: Event) -> Event:
    if event.event_id is not None or event.order is not None:
        return event
    return msgspec.structs.replace(event, event_id=uuid.uuid4().hex)


def _segment(text: str) -> str:
    """Write an id as one segment of a path. Dots too: `..` would climb."""
    if not isinstance(text, str) or not text:
        raise BadRequest(f"id: expected text, got {text!r}")
    try:
        return quote(text, safe="").replace(".", "%2E")
    except UnicodeEncodeError as err:
        raise BadRequest(f"id: {err.reason}, got {text!r}") from err


def _page(after: str, limit: int) -> dict[str, Any]:
    return {"limit": limit, **({"after": after} if after else {})}
