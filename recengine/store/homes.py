"""Homes of user data: whatever keeps something of a user forgets it when asked, and is listed here.

Why a list: a new home that nobody told about forgetting would keep what was to be erased. `@home` puts a class on it;
a house test refuses a class that can `forget` and is not on it, a table with users that the ledger does not clear, and
anything of a forgotten user that it still finds in an open engine.
"""

from typing import Protocol, TypeVar

import msgspec

__all__ = ("HOMES", "Forgotten", "Home", "home")


class Forgotten(msgspec.Struct, frozen=True):
    """A user of whom nothing may stay: the row, and the name that it had."""

    user: int
    """-1 = one who only asked: it has no row, but records of what it was shown."""
    name: str
    sessions: tuple[str, ...] = ()
    """The visits with events of theirs that the fold let go of; what others did in them is in no visit from then on."""


class Home(Protocol):
    """What keeps something of users."""

    def forget(self, who: Forgotten) -> None:
        """Keep nothing of a user any more; called when the user's last frame is folded."""


H = TypeVar("H", bound=type)

HOMES: dict[str, type] = {}


def home(kind: H) -> H:
    """Put a class on the list."""
    HOMES[f"{kind.__module__}.{kind.__qualname__}"] = kind
    return kind
