"""Load: clients that post events to a server until told to stop, and keep the ledger.

A client that gets no answer cannot know what became of its events; some of them send the same again later, under the
same event_ids, as a caller with retries does. Now and then one repeats what was acknowledged long ago.
"""

import http.client
import json
import random
import threading
import time
from collections import deque
from typing import Any

from tests.crash.ledger import Ledger


class Clients:
    """`count` closed-loop clients on threads. Start and stop as often as wanted; what is unanswered is kept between.

    `mixed`: some also put items, and forget users, which makes a snapshot each time and trims the journal.
    """

    def __init__(self, ledger: Ledger, port: int, *, count: int = 8, seed: int = 0, mixed: bool = False) -> None:
        self.mixed = mixed
        self.ledger = ledger
        self.port = port
        self.count = count
        self.refused = 0
        """Replies of 503."""
        self._seeds = random.Random(seed)
        self._open: deque[list[dict[str, Any]]] = deque()
        self._done: deque[list[dict[str, Any]]] = deque(maxlen=100)
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._over.clear()
        seeds = [self._seeds.random() for _ in range(self.count)]
        self._threads = [threading.Thread(target=self._run, args=(random.Random(seed),), daemon=True) for seed in seeds]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def until(self, acknowledged: int, *, seconds: float = 60.0) -> None:
        """Run until so many more events are acknowledged, then stop.

        Raises
        ------
        AssertionError : they are not within so many seconds, or a reply was wrong.
        """
        ledger, end = self.ledger, time.monotonic() + seconds
        goal = len(ledger.acknowledged) + acknowledged
        self.start()
        while len(ledger.acknowledged) < goal and not ledger.complaints and time.monotonic() < end:
            time.sleep(0.02)
        self.stop()
        assert not ledger.complaints, ledger.complaints[:3]
        assert len(ledger.acknowledged) >= goal, f"{len(ledger.acknowledged)} acknowledged within {seconds} s"

    def _run(self, rng: random.Random) -> None:
        wire = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        while not self._over.is_set():
            if self.mixed and rng.random() < 0.1:
                try:
                    (self._forget if rng.random() < 0.3 else self._put)(wire)
                except (OSError, http.client.HTTPException):
                    wire.close()
                    self._over.wait(0.02)
                continue
            events, again = self._next(rng)
            body = json.dumps(events[0] if len(events) == 1 else events)
            try:
                wire.request("POST", "/v1/events", body, {"content-type": "application/json"})
                reply = wire.getresponse()
                text = reply.read()
            except (OSError, http.client.HTTPException):
                wire.close()
                if rng.random() < 0.5:
                    self._open.append(events)
                self._over.wait(0.02)
                continue
            if reply.status in (200, 201):
                receipt = json.loads(text)
                self.ledger.acknowledge(events, receipt["stored"], receipt.get("duplicates", 0), again=again)
                self._done.append(events)
            elif reply.status == 503:
                self.refused += 1
                self._open.append(events)
                if not reply.headers["content-type"].startswith("application/problem+json"):
                    self.ledger.complain(f"503 without a problem: {text[:200]!r}")
                self._over.wait(0.05)
            else:
                self.ledger.complain(f"{reply.status}: {text[:200]!r}")
        wire.close()

    def _ask(self, wire: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> int:
        wire.request(method, path, json.dumps(body) if body else None, {"content-type": "application/json"} if body else {})
        reply = wire.getresponse()
        text = reply.read()
        if reply.status not in {200, 201, 204, 404, 503}:
            self.ledger.complain(f"{method} {path}: {reply.status}: {text[:200]!r}")
        return reply.status

    def _put(self, wire: http.client.HTTPConnection) -> None:
        """Put the next revision of an item that no other client puts."""
        item = f"{self.ledger.prefix}item-{threading.get_ident()}"
        done, sent = self.ledger.put.get(item, (0, 0))
        self.ledger.put[item] = (done, sent + 1)
        if self._ask(wire, "PUT", f"/v1/items/{item}", {"attributes": {"revision": sent + 1}}) == 200:
            self.ledger.put[item] = (sent + 1, sent + 1)

    def _forget(self, wire: http.client.HTTPConnection) -> None:
        """Let a user do something, and forget it."""
        name = self.ledger.one_of("gone")
        event = {"event_id": name, "user_id": name, "item_id": self.ledger.items[0], "type": "click"}
        if self._ask(wire, "POST", "/v1/events", event) == 201 and self._ask(wire, "DELETE", f"/v1/users/{name}") == 204:
            self.ledger.forgotten.add(name)

    def _next(self, rng: random.Random) -> tuple[list[dict[str, Any]], bool]:
        """Events to send, and whether any of them was sent before."""
        held = self._open if self._open and rng.random() < 0.7 else self._done if self._done and rng.random() < 0.03 else None
        if held is not None:
            try:
                return held.popleft(), True
            except IndexError:  # another client was faster
                pass
        return self.ledger.new(1 if rng.random() < 0.8 else rng.randint(2, 5)), False
