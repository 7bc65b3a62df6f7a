"""One conversation with a server: connections, retries, and its problems as our errors.

Why retries are safe: reads change nothing, PUT, PATCH and DELETE say what shall be, and an event carries an `event_id`
made before the first try, or is known again by its content where it says its `order`. So a reply that got lost on the
way is asked for again and nothing counts twice.

Why the environment is not read (`trust_env=False`): a proxy set for the world outside would get what is for the engine
next door, and a `.netrc` would send somebody's password along.
"""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import isfinite
from random import SystemRandom
from typing import Any, TypeVar

import httpx
import msgspec

from recengine import errors
from recengine.errors import BadRequest, BadUsage, RecEngineError, ServerUnreachable

__all__ = ("Transport",)

T = TypeVar("T")

RETRIED = frozenset((429, 502, 503))
"""Too much at once, nobody behind the proxy, no room or not ready: these pass. 500 and 504 say nothing of the sort."""
FIRST_WAIT = 0.1
"""Seconds; doubled after every try. Half of it is drawn at random, so that callers who failed together come apart."""
LONGEST_WAIT = 10.0
"""Seconds between two tries, whatever `Retry-After` asks for."""

_BY_CODE: dict[str, type[RecEngineError]] = {kind.code: kind for kind in (getattr(errors, n) for n in errors.__all__)}
_draw = SystemRandom().uniform


class _Problem(msgspec.Struct, frozen=True):
    """RFC 9457 as recengine writes it."""

    code: str = ""
    title: str = ""
    detail: str = ""
    hint: str = ""


class Transport:
    """Sends requests until one is answered; thread-safe. Parameters as in `Client`."""

    def __init__(self, url: str, key: str | None = None, *, timeout: float = 10.0, retries: int = 4) -> None:
        try:
            address = httpx.URL(url)
        except (httpx.InvalidURL, TypeError) as err:
            raise BadUsage(f"url: {err}", hint="such as http://127.0.0.1:8000") from err
        if address.scheme not in {"http", "https"} or not address.host:
            raise BadUsage(f"url: expected http://HOST:PORT, got {url!r}", hint="such as http://127.0.0.1:8000")
        if key is not None and not (key and key.isascii() and key.isprintable()):
            raise BadUsage("key: expected printable ASCII")  # what it is stays secret
        self.url = url.rstrip("/")
        self.retries = retries
        self._http = httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {key}"} if key is not None else {},
            timeout=timeout,
            trust_env=False,
        )

    def close(self) -> None:
        """Let the connections go. Closing twice is fine."""
        self._http.close()

    def answers(self, path: str) -> bool:
        """Ask once, and tell whether a success came."""
        try:
            return bool(self._http.get(path).is_success)
        except httpx.HTTPError:
            return False

    def ask(
        self, kind: type[T], method: str, path: str, body: Any = None, *, params: Mapping[str, Any] | None = None
    ) -> T:
        """Send one request and read its reply as `kind`.

        Raises
        ------
        BadRequest : the body cannot be said in JSON.
        ServerUnreachable : no try got an answer.
        RecEngineError : the problem that the server answered, as its own class; or the reply is not recengine's.
        """
        reply = self.send(method, path, None if body is None else _encoded(body), params)
        try:
            return msgspec.json.decode(reply, type=kind)
        except msgspec.DecodeError as err:
            raise RecEngineError(
                f"{method} {self.url}{path}: the reply is not recengine's: {err}", hint="check the url"
            ) from err

    def send(self, method: str, path: str, body: bytes | None = None, params: Mapping[str, Any] | None = None) -> bytes:
        """Send one request, again where that may help, and return the body of its success.

        Raises
        ------
        ServerUnreachable, RecEngineError : as in `ask`.
        """
        headers = {} if body is None else {"content-type": "application/json"}
        attempt = 0
        while True:
            try:
                reply = self._http.request(method, path, content=body, params=params, headers=headers)
            except httpx.HTTPError as err:
                what = str(err) or type(err).__name__
                failed: RecEngineError = ServerUnreachable(
                    f"{method} {self.url}{path}: {what}", hint="is the server running, and is this its address?"
                )
                failed.__cause__ = err
                wait = None
            else:
                gone = attempt > 0 and method == "DELETE" and reply.status_code == httpx.codes.NOT_FOUND
                if reply.is_success or gone:  # an earlier try took it away, only its answer was lost
                    return reply.content
                failed = _problem(reply)
                if reply.status_code not in RETRIED:
                    raise failed
                wait = _asked_to_wait(reply)
            if attempt >= self.retries:
                raise failed
            if wait is None:
                wait = min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) * _draw(0.5, 1.0)
            time.sleep(min(wait, LONGEST_WAIT))
            attempt += 1


def _encoded(body: Any) -> bytes:
    """Write JSON; what JSON has no word for is refused, not turned into null."""
    try:
        text = msgspec.json.encode(body)
        if b"null" in text:  # a number that is not finite becomes null, and so does None
            _finite(msgspec.to_builtins(body), "$")
    except (TypeError, ValueError, OverflowError, RecursionError) as err:
        raise err if isinstance(err, BadRequest) else BadRequest(f"request: {err}") from err
    return text


def _finite(value: Any, where: str) -> None:
    if isinstance(value, float) and not isfinite(value):
        raise BadRequest(f"{where}: expected a finite number, got {value}")
    if isinstance(value, Mapping):
        for key, entry in value.items():
            _finite(entry, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            _finite(entry, f"{where}[{index}]")


def _problem(reply: httpx.Response) -> RecEngineError:
    """Turn a reply that is no success into the error that the engine raised, as far as it is known here."""
    try:
        problem = msgspec.json.decode(reply.content, type=_Problem)
    except msgspec.DecodeError:  # somebody else answered, such as a proxy
        problem = _Problem(detail=reply.text[:200].strip())
    what = problem.detail or problem.title or reply.reason_phrase
    if problem.code in _BY_CODE:
        return _BY_CODE[problem.code](what, hint=problem.hint)
    where = f"{reply.request.method} {reply.request.url.path}"
    return RecEngineError(f"{where}: {reply.status_code} {problem.code or what}: {what}", hint=problem.hint)


def _asked_to_wait(reply: httpx.Response) -> float | None:
    """Read `Retry-After` (RFC 9110, section 10.2.3): seconds or a date; None where there is none or nonsense."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), LONGEST_WAIT))
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
