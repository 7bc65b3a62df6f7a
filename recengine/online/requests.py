"""From keywords to `Request`: what a caller of the library may write, checked and named."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from recengine.errors import BadRequest
from recengine.types import Request

__all__ = ("asked", "asked_of_all")

N = 10
"""Items wanted where the caller does not say."""


def asked(user: str | Request | None, n: int, wishes: Mapping[str, Any]) -> Request:
    """Make one request.

    Raises
    ------
    BadRequest : a field is unknown or of the wrong type; or a whole `Request` came with further wishes.
    """
    if not isinstance(user, Request):
        return _converted({"user_id": user, "n": _index(n), **wishes})
    if wishes or n not in {N, user.n}:
        raise BadRequest("recommend: a Request says all itself, got further wishes", hint="put them in the Request")
    return user


def asked_of_all(users: Iterable[str | Request], n: int, wishes: Mapping[str, Any]) -> list[Request]:
    """Make one request a user, converting the shared wishes once.

    Raises
    ------
    BadRequest : as in `asked`.
    """
    if isinstance(users, str):
        raise BadRequest("users: expected a list of ids, got str", hint="`recommend` answers one user")
    users = list(users)
    if not users or any(isinstance(user, Request) for user in users):
        return [asked(user, n, wishes) for user in users]
    shared = _converted({"user_id": None, "n": _index(n), **wishes})
    return [msgspec.structs.replace(shared, user_id=_text(user)) for user in users]


def _index(n: Any) -> Any:
    """Take the integers of numpy for integers."""
    return int(n) if isinstance(n, np.integer) else n


def _text(user: Any) -> str:
    if not isinstance(user, str):
        raise BadRequest(f"user_id: expected str, got {type(user).__name__}", hint="ids are text")
    return str(user)  # a numpy.str_ is a str


def _converted(fields: dict[str, Any]) -> Request:
    try:
        return msgspec.convert(fields, Request)
    except msgspec.ValidationError as err:
        raise BadRequest(f"request: {err}", hint=f"fields: {', '.join(Request.__struct_fields__)}") from err
