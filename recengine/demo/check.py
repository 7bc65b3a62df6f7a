"""The demo's service, checked from outside as a caller sees it: over HTTP."""

import time
from collections.abc import Callable, Iterator

import msgspec

from recengine.client import Client
from recengine.errors import EngineFault
from recengine.types import Event

__all__ = ("Check", "checks")


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried, and held."""

    what: str
    found: str
    milliseconds: float


def checks(client: Client, user: str) -> Iterator[Check]:
    """Ask, tell and look at the service.

    Raises
    ------
    EngineFault : something is not as promised.
    RecEngineError : the service refused.
    """

    def timed(what: str, run: Callable[[], str]) -> Check:
        start = time.perf_counter()
        found = run()
        return Check(what=what, found=found, milliseconds=(time.perf_counter() - start) * 1000)

    def hold(true: bool, what: str) -> None:
        if not true:
            raise EngineFault(f"the demo's service: {what}", hint="please report this")

    first = client.recommend(user)

    def recommend() -> str:
        reply = client.recommend(user)
        hold(reply.items == first.items, "the same wish had another answer")
        hold(reply.request_id != first.request_id, "two replies had one request_id")
        return f"{len(reply.items)} items, first {reply.items[0].item_id}"

    clicked = Event(
        user_id=user,
        item_id=first.items[0].item_id,
        type="click",
        event_id=first.request_id,
        request_id=first.request_id,
    )

    def tell() -> str:
        hold(client.record(clicked).stored == 1, "an event was not stored")
        return f"a click on {clicked.item_id} is durable"

    def change() -> str:
        shown = [line.item_id for line in client.recommend(user).items]
        hold(clicked.item_id not in shown, "a click was not felt")
        return f"{clicked.item_id} left, first is {shown[0]}"

    def again() -> str:
        receipt = client.record(clicked)
        hold((receipt.stored, receipt.duplicates) == (0, 1), "a repeated event counted twice")
        return "the same click again counts once"

    def metrics() -> str:
        lines = [line for line in client.metrics().splitlines() if not line.startswith("#")]
        hold(any(line.startswith("recengine_http_requests_total") for line in lines), "requests were not counted")
        return f"{len(lines)} series"

    def openapi() -> str:
        paths = client.openapi()["paths"]
        hold("/v1/events" in paths, "the API is not described")
        return f"{len(paths)} paths"

    yield timed("recommend", recommend)
    yield timed("event", tell)
    yield timed("changed answer", change)
    yield timed("event again", again)
    yield timed("metrics", metrics)
    yield timed("openapi", openapi)
