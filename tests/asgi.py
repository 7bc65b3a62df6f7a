"""Ask an ASGI callable without a server: raw paths, raw headers, a body in chunks that come when the test says."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


async def asked(door, target="/", method="GET", body=b"", headers=(), pauses=(), gone=False):
    """Send one request. `body` may be a list of chunks; `pauses` are seconds before each; `gone`: hang up after them."""
    path, _, query = target.encode("latin-1").partition(b"?")
    chunks = [body] if isinstance(body, bytes) else list(body)
    waits = [*pauses, *[0] * len(chunks)]
    sent = 0
    answer = Answer()

    async def receive():
        nonlocal sent
        if sent >= len(chunks):
            return {"type": "http.disconnect"}
        await asyncio.sleep(waits[sent])
        sent += 1
        return {"type": "http.request", "body": chunks[sent - 1], "more_body": gone or sent < len(chunks)}

    async def send(message):
        if message["type"] == "http.response.start":
            assert not answer.status, "two answers"
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    await door(scope, receive, send)
    return answer


def ask(door, target="/", method="GET", body=b"", headers=(), **more):
    """Send one request from a test that is not async. A body is JSON where the headers do not say otherwise."""
    if isinstance(body, dict | list) and not (body and isinstance(body[0] if isinstance(body, list) else None, bytes)):
        body = msgspec.json.encode(body)
    if body and not any(name == "content-type" for name, _ in headers):
        headers = [*headers, ("content-type", "application/json")]
    return asyncio.run(asked(door, target, method, body, headers, **more))
