"""Files that must be whole, and the force that brings them to the disk; their hashes are in `hashes.py`.

Floor 1, for whoever publishes a folder or a file: model versions, backups, exports. In: paths. Out: hex digests, and
bytes that survive a power cut. Why one home: a copy that forgets to flush looks right until the machine falls.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from recengine.errors import DirectoryInvalid, RecEngineError
from recengine.hashes import BYTES

__all__ = ("copy", "digest_of", "flush", "placed", "whole")


def digest_of(content: bytes) -> str:
    """Hash bytes in memory as `hashes.digest` hashes a file."""
    return hashlib.blake2b(content, digest_size=BYTES).hexdigest()


def flush(path: Path) -> None:
    """Force a file's bytes, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def copy(source: Path, target: Path) -> None:
    """Copy a file's content and force it to the disk; the folder of `target` is made where it is missing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    flush(target)


def placed(target: Path) -> None:
    """See that `target` can be a file, before the work whose result it takes.

    Raises
    ------
    DirectoryInvalid : its folder is missing, or there is a folder of that name.
    """
    if not target.parent.is_dir():
        raise DirectoryInvalid(f"{target.parent}: there is no such folder to write {target.name} to")
    if target.is_dir():
        raise DirectoryInvalid(f"{target}: is a folder; expected the name of a file")


@contextmanager
def whole(target: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that stands under its name only when it is complete and on the disk, else not at all.

    Raises
    ------
    DirectoryInvalid : the folder is missing or cannot be written.
    """
    placed(target)
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        aside.replace(target)
    except RecEngineError:  # of whoever gives what is written: some are OSErrors too
        raise
    except OSError as err:
        raise DirectoryInvalid(f"{target}: cannot be written: {err.strerror or err}") from err
    finally:
        with suppress(OSError):  # where it could not be made it cannot be removed
            aside.unlink(missing_ok=True)
