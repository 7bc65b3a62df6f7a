"""Disk space kept back for the day the disk is full.

Floor 2, used by `journal.py`. When the disk is full the reserve is given away, so that the database can still commit
what the journal has acknowledged; the journal takes nothing more until there is room again to set the reserve aside.
"""

import errno
import os
import shutil
from pathlib import Path
from threading import Lock

from recengine.durable import flush

__all__ = ("FULL", "Reserve")

FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
"""What the system says when the disk, or one's share of it, is used up."""


class Reserve:
    """A file of allocated, unused blocks. Any thread may call it.

    Parameters
    ----------
    path : of the file.
    size : bytes; 0 = no reserve is kept.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._lock = Lock()
        self._held = False

    def hold(self) -> bool:
        """Set the reserve aside where it is not yet; False while there is too little room.

        Raises
        ------
        OSError : something else than a full disk is in the way.
        """
        if self._held or not self._size:
            return True
        with self._lock:
            if self._path.exists() and self._path.stat().st_size == self._size:
                self._held = True  # left by the process before
                return True
            # Twice: what was just given away is meant for the database, and is not yet room for new events.
            if shutil.disk_usage(self._path.parent).free < 2 * self._size:
                return False
            try:
                self._allocate()
            except OSError as err:
                self._path.unlink(missing_ok=True)
                if err.errno in FULL:
                    return False
                raise
            self._held = True
            return True

    def release(self) -> None:
        """Give the space away. Doing it twice is fine."""
        with self._lock:
            self._held = False
            self._path.unlink(missing_ok=True)

    def _allocate(self) -> None:
        self._path.unlink(missing_ok=True)
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, self._size)
            os.fsync(handle)
        finally:
            os.close(handle)
        flush(self._path.parent)
