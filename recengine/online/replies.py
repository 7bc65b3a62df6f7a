"""The reply cache: bodies of replies, kept as long as nothing happened since that could change them.

Exact by stamps, not by invalidation: a reply is kept with a token of each thing that it rests on (the deployment, the
catalogue, the user's history ...), taken before it was computed, and is served only while the engine holds these same
tokens. So there is no call that somebody could forget, and no moment between an event and its invalidation. LRU with
a time to live, bounded by entries and bytes.

A body is kept without its request_id, which is its first field; a fresh one is put in front.
"""

import time
from collections import OrderedDict
from threading import Lock

import msgspec

from recengine.store.homes import Forgotten, home
from recengine.types import Response

__all__ = ("Kept", "Replies", "body", "kept", "tail")

HEAD = b'{"request_id":"'
ID_LENGTH = 32
SWEPT = 5.0
"""Seconds between two looks for replies whose time is over; one costs about 3 ms for 50,000."""


class Kept(msgspec.Struct, frozen=True, gc=False):
    """A reply that may be sent again."""

    tail: bytes
    """The body after the request_id."""
    first: str
    """The request_id under which it was computed."""
    user_id: str | None
    version: str
    stamp: tuple[object, ...]
    until: float
    """time.monotonic() at which it ends."""


_encode = msgspec.json.Encoder().encode


def tail(reply: Response) -> bytes:
    """Encode a reply without its request_id."""
    return _encode(reply)[len(HEAD) + ID_LENGTH :]


def body(request_id: str, rest: bytes) -> bytes:
    """Put a request_id (32 hex digits) in front of what `tail` gave."""
    return b"".join((HEAD, request_id.encode(), rest))


def kept(reply: Response, rest: bytes, stamp: tuple[object, ...], seconds: float) -> Kept:
    """Make the entry of a reply just computed; `stamp` was taken before."""
    return Kept(rest, reply.request_id, reply.user_id, reply.version, stamp, time.monotonic() + seconds)


@home
class Replies:
    """Thread-safe. A look-up costs about 1 us.

    Parameters
    ----------
    entries : at most so many; 0 = keep nothing.
    size : bytes of bodies and keys, at most.
    """

    def __init__(self, entries: int, size: int) -> None:
        self.hits = self.misses = 0
        self.bytes = 0
        self._entries = entries
        self._size = size
        self._lock = Lock()
        self._sweep = 0.0
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: bytes) -> Kept | None:
        """Look up what was kept under `key`; the caller compares its stamp."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None and found.until > time.monotonic():
                self._kept.move_to_end(key)
                return found
            return None

    def keep(self, key: bytes, entry: Kept) -> None:
        """Keep a reply; the ones not asked for the longest make room."""
        size = len(key) + len(entry.tail)
        if not self._entries or size > self._size:
            return
        with self._lock:
            self._drop(key)
            now = time.monotonic()
            if now >= self._sweep:
                self._sweep = now + SWEPT
                for old in [old for old, one in self._kept.items() if one.until <= now]:
                    self._drop(old)
            self._kept[key] = entry
            self.bytes += size
            while self.bytes > self._size or len(self._kept) > self._entries:
                self._drop(next(iter(self._kept)))

    def forget(self, who: Forgotten) -> None:
        """Drop every reply to a user."""
        with self._lock:
            for key in [key for key, entry in self._kept.items() if entry.user_id == who.name]:
                self._drop(key)

    def clear(self) -> None:
        """Drop everything, so that nothing of an old deployment stays in memory."""
        with self._lock:
            self._kept.clear()
            self.bytes = 0

    def _drop(self, key: bytes) -> None:
        old = self._kept.pop(key, None)
        if old is not None:
            self.bytes -= len(key) + len(old.tail)
