"""The one table from errors to answers: status codes and RFC 9457 problem documents.

In: any exception that a request met, ours, Litestar's or Python's. Out: a `Problem` with its headers. Nothing that a
caller sends may become a 500: what the decoders raise for hostile bytes (UnicodeDecodeError for invalid UTF-8,
RecursionError for deep nesting) is translated here. A 500 says nothing of the inside; the log does.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar.exceptions import HTTPException

from recengine import errors
from recengine.errors import RecEngineError
from recengine.server import log
from recengine.server.scope import Message

__all__ = ("CODES", "MEDIA_TYPE", "STATUS", "Place", "Problem", "Refused", "answer_of", "problem_of")

MEDIA_TYPE = "application/problem+json"

STATUS: dict[type[RecEngineError], int] = {
    errors.RecEngineError: 500,
    errors.RequestError: 400,
    errors.UnknownItem: 404,
    errors.UnknownReply: 404,
    errors.UnknownUser: 404,
    errors.ConfigError: 500,
    errors.DirectoryInvalid: 503,
    errors.StoreFailed: 503,
    errors.StoreLocked: 503,
    errors.UnknownVersion: 404,
    errors.BadUsage: 400,
    errors.DataError: 400,
    errors.EmptyData: 409,
    errors.StoreCorrupt: 503,
    errors.ModelError: 503,
    errors.GateFailed: 409,
    errors.FullTrainNeeded: 409,
    errors.EngineFault: 500,
}
"""Status by error; what is not listed answers as its nearest parent."""

CODES: dict[int, tuple[str, str, str]] = {
    400: ("bad-request", "The request cannot be understood.", ""),
    401: (
        "no-api-key",
        "The request needs an API key.",
        "send `Authorization: Bearer KEY`, or `X-API-Key: KEY`",
    ),
    404: ("no-such-route", "There is nothing at this path.", "/openapi.json lists what there is"),
    405: ("bad-method", "The path does not know this method.", "the Allow header lists those it knows"),
    408: ("slow-body", "The body did not arrive in time.", "`server.body_timeout` is the limit"),
    413: ("body-too-large", "The body is larger than this route takes.", "send fewer at once"),
    415: ("bad-content-type", "Bodies are JSON.", "send `Content-Type: application/json`"),
    503: ("unavailable", "The service cannot answer now.", "try again later"),
}
"""Code, title and hint of what is refused before any of our errors is raised; by status."""

RETRY_AFTER = 1
"""Seconds after which a 503 is worth another try."""

_AT = re.compile(r"^(.*?)(?: - at `(.*)`)?$", re.DOTALL)


class Place(msgspec.Struct, frozen=True):
    """What is wrong at one place of a request."""

    place: str
    """`$.items[3].item_id` in the body, `query.n`, `path.user_id`."""
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An answer that says what went wrong (RFC 9457)."""

    type: str
    """Names the kind of problem; ends in `code`."""
    title: str
    """The kind in words."""
    status: int
    detail: str
    """What was expected, what came, and where."""
    code: str
    """Never changes; the reference lists all."""
    hint: str = ""
    """What to do next."""
    instance: str = ""
    """Names this occurrence: the request's id is in it, as in the log."""
    errors: tuple[Place, ...] = ()
    """Every place that is wrong, where they are known."""


class Refused(HTTPException):
    """The door or a route refuses a request for reasons of HTTP."""

    def __init__(
        self, status: int, detail: str, *, places: tuple[Place, ...] = (), headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail=detail, status_code=status, headers=headers)
        self.places = places


def answer_of(error: BaseException, request_id: str) -> tuple[Message, Message]:
    """Answer `error` in ASGI messages."""
    problem, headers = problem_of(error, request_id)
    body = msgspec.json.encode(problem)
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    raw += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    start: Message = {"type": "http.response.start", "status": problem.status, "headers": raw}
    return start, {"type": "http.response.body", "body": body}


def problem_of(error: BaseException, request_id: str) -> tuple[Problem, dict[str, str]]:
    """Say how to answer `error`: the problem, and headers that go with it. What is our own fault is logged in full."""
    problem, headers = _problem_of(error, f"urn:recengine:request:{request_id}")
    if problem.status == 500:
        log.fault("fault", error, request_id=request_id)
    return problem, headers


def _problem_of(error: BaseException, instance: str) -> tuple[Problem, dict[str, str]]:
    match error:
        case RecEngineError():
            return _ours(error, instance)
        case HTTPException() if error.status_code != 500:
            return _http(error, instance)
        case msgspec.DecodeError():
            detail, place = _parted(str(error))
            place = place or "$"
            return _plain(400, f"{place}: {detail}", instance, (Place(place, detail),)), {}
        case UnicodeDecodeError():
            return _plain(400, f"body: expected UTF-8, got an invalid byte at {error.start}", instance), {}
        case RecursionError():
            return _plain(400, "body: nested too deeply", instance), {}
    fault = errors.EngineFault
    return (
        _problem(fault.code, _title(fault), 500, "an unexpected error; the log has it", instance, "please report this"),
        {},
    )


def _ours(error: RecEngineError, instance: str) -> tuple[Problem, dict[str, str]]:
    kind = type(error)
    status = next(STATUS[base] for base in kind.__mro__ if base in STATUS)
    if status == 500:  # our own matter: the message may name files
        return _problem(error.code, _title(kind), 500, "an internal error; the log has it", instance), {}
    headers = {"retry-after": str(RETRY_AFTER)} if status == 503 else {}
    detail, place = _parted(error.message)
    places = (Place(place, detail.removeprefix("request: ")),) if place else ()
    return _problem(error.code, _title(kind), status, detail, instance, error.hint, places), headers


def _http(error: HTTPException, instance: str) -> tuple[Problem, dict[str, str]]:
    status = error.status_code
    headers = dict(error.headers or {})
    places = error.places if isinstance(error, Refused) else _places(error.extra)
    detail = error.detail
    if places and not isinstance(error, Refused):
        detail = "; ".join(f"{place.place}: {place.message}" for place in places)
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if status == 503:
        headers["retry-after"] = str(RETRY_AFTER)
    return _plain(status, detail, instance, places), headers


def _plain(status: int, detail: str, instance: str, places: tuple[Place, ...] = ()) -> Problem:
    code, title, hint = CODES.get(status, CODES[400] if status < 500 else CODES[503])
    return _problem(code, title, status, detail, instance, hint, places)


def _problem(
    code: str, title: str, status: int, detail: str, instance: str, hint: str = "", places: tuple[Place, ...] = ()
) -> Problem:
    return Problem(
        type=f"urn:recengine:problem:{code}",
        title=title,
        status=status,
        detail=detail,
        code=code,
        hint=hint,
        instance=instance,
        errors=places,
    )


def _title(kind: type[RecEngineError]) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


def _parted(message: str) -> tuple[str, str]:
    """Part msgspec's `what - at `$.place`` into (what, place)."""
    found = _AT.match(message)
    return (found[1], found[2] or "") if found else (message, "")


def _places(extra: Any) -> tuple[Place, ...]:
    """Read the list in which Litestar names wrong parameters."""
    if not isinstance(extra, list):
        return ()
    found = []
    for entry in extra:
        if isinstance(entry, Mapping):
            source, key = entry.get("source", "query"), entry.get("key", "")
            place = f"$.{key}" if source == "body" else f"{getattr(source, 'value', source)}.{key}"
            found.append(Place(place, _parted(str(entry.get("message", "")))[0]))
    return tuple(found)
