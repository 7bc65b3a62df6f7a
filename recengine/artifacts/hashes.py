"""Hashes of files that this process knows: a file is read for its hash once, as long as it stays the same file.

Stands between `manifest.py`, which asks, and `durable.py`, which reads. In: the path of a file of a version. Out: the
hash of its content. Why: of an increment most bytes are files of the version before it under a second name, and what a
training has just written and hashed is loaded a moment later. That a file is the same is said by its inode, size and
time of change, as in git's index; and as there, one that changed just before it was read is not believed, because a
further change within the same tick of the clock would not show. A new process believes nothing and reads everything.
"""

import time
from pathlib import Path
from threading import Lock

from recengine.durable import digest

__all__ = ("hashed",)

SETTLED = 20_000_000
"""Nanoseconds without a change; the clock of a file system ticks every 1 to 10 ms."""
REMEMBERED = 4096
"""Files; a version has about 60."""

_known: dict[tuple[int, int, int, int], str] = {}
_lock = Lock()


def hashed(path: Path) -> str:
    """Return the hex BLAKE2b-256 of a file's content. Cost: one read, unless it is known; see `durable.digest`."""
    now, before = time.time_ns(), path.stat()
    key = (before.st_dev, before.st_ino, before.st_size, before.st_mtime_ns)
    with _lock:
        known = _known.get(key)
    if known is not None:
        return known
    found = digest(path)
    if now - before.st_mtime_ns > SETTLED:
        with _lock:
            if len(_known) >= REMEMBERED:
                _known.clear()
            _known[key] = found
    return found
