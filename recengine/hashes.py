"""Hashes of files that this process knows: a file is read for its hash once, as long as it stays the same file.

Floor 0, for whoever links files of a version, seals, verifies or loads them. In: the path of a file. Out: the hash of
its content. Why: of an increment most bytes are files of the version before it under a second name, and what a training
has just written and hashed is loaded a moment later.

That a file is the same is said by its inode, size, and the times of its last write and of its last change of any kind,
as in git's index: the first can be set back by whoever copies over a file, the second cannot. And as there, a file that
changed just before it was read is not believed, because a further change within the same tick of the clock would not
show. A new name, or one name less, is a change too; `kept` says of it that the content stayed. A new process believes
nothing and reads everything.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock

__all__ = ("BYTES", "digest", "hashed", "kept")

BYTES = 32
"""Of a hash, BLAKE2b-256."""

SETTLED = 20_000_000
"""Nanoseconds without a change; the clock of a file system ticks every 1 to 10 ms."""
REMEMBERED = 4096
"""Files; a version has about 60."""

_known: dict[tuple[int, ...], str] = {}
_lock = Lock()


def digest(path: Path) -> str:
    """Hash the content of a file: hex BLAKE2b-256. Cost: one read, about 1 s a GB."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=BYTES)).hexdigest()


def hashed(path: Path) -> str:
    """Return what `digest` would. Cost: one read, unless the file is known."""
    now, before = time.time_ns(), path.stat()
    with _lock:
        known = _known.get(_key(before))
    if known is not None:
        return known
    found = digest(path)
    if now - max(before.st_mtime_ns, before.st_ctime_ns) > SETTLED:
        _remember(before, found)
    return found


@contextmanager
def kept(paths: Iterable[Path]) -> Iterator[None]:
    """Go on knowing `paths` whose names are added or removed inside: that changes a file, and not its content.

    Write to none of them inside. One whose size or time of the last write differs afterwards is known no more.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) for path in paths]
        before = [os.fstat(file.fileno()) for file in files]
        yield
        for file, old in zip(files, before, strict=True):
            new = os.fstat(file.fileno())
            with _lock:
                known = _known.get(_key(old))
            if known is not None and (new.st_size, new.st_mtime_ns) == (old.st_size, old.st_mtime_ns):
                _remember(new, known)


def _key(file: os.stat_result) -> tuple[int, ...]:
    return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns


def _remember(file: os.stat_result, found: str) -> None:
    with _lock:
        if len(_known) >= REMEMBERED:
            _known.clear()
        _known[_key(file)] = found
