"""What a few clicks change: a user's list before and after, and why each item left or came."""

import time
from collections.abc import Sequence
from itertools import count

import msgspec

from recengine.engine import Engine
from recengine.types import Event, Receipt, Response

__all__ = ("Change", "Felt", "click", "newcomer")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """An item that left the list, or came into it."""

    item_id: str
    title: str
    why: str


class Felt(msgspec.Struct, frozen=True, kw_only=True):
    """What clicks changed."""

    user_id: str
    clicked: tuple[str, ...]
    receipt: Receipt
    milliseconds: float
    """From the first click to the list that reflects all of them."""
    before: Response
    after: Response
    left: tuple[Change, ...]
    came: tuple[Change, ...]


def newcomer(engine: Engine) -> str:
    """Name somebody whom the engine has never met."""
    known = set(engine.users())
    return next(name for number in count(1) if (name := f"newcomer-{number}") not in known)


def click(engine: Engine, user: str, *, clicks: int = 5) -> Felt:
    """Let `user` click on the first items of the list that is shown, and look at the list again."""
    before = engine.recommend(user, explain=True)
    clicked = tuple(line.item_id for line in before.items[:clicks])
    start = time.perf_counter()
    receipt = engine.record(
        [Event(user_id=user, item_id=item, type="click", request_id=before.request_id) for item in clicked]
    )
    after = engine.recommend(user, explain=True)
    took = (time.perf_counter() - start) * 1000
    lists = [tuple(line.item_id for line in reply.items) for reply in (before, after)]
    gone = [item for item in lists[0] if item not in lists[1]]
    new = [item for item in lists[1] if item not in lists[0]]
    reasons = {
        line.item_id: next((reason.text for reason in line.reasons if reason.text), line.reason) for line in after.items
    }
    return Felt(
        user_id=user,
        clicked=clicked,
        receipt=receipt,
        milliseconds=took,
        before=before,
        after=after,
        left=_changes(engine, gone, [_why_gone(engine, user, item) for item in gone]),
        came=_changes(engine, new, [reasons[item] for item in new]),
    )


def _changes(engine: Engine, items: Sequence[str], reasons: Sequence[str]) -> tuple[Change, ...]:
    titles = engine.titles(items)
    return tuple(
        Change(item_id=item, title=title, why=why) for item, title, why in zip(items, titles, reasons, strict=True)
    )


def _why_gone(engine: Engine, user: str, item: str) -> str:
    found = engine.explain(user, item)
    return ", ".join(found.excluded_by) or "others fit better now"
