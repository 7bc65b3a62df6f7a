"""A data directory: the home of one shop's database and models. `create` makes one, `check` recognises one."""

import os
from pathlib import Path

from recengine.config import Storage
from recengine.durable import flush
from recengine.errors import DirectoryInvalid
from recengine.store.database import FILE, Database

__all__ = ("ARTIFACTS", "CONFIG", "JOURNAL", "QUARANTINE", "SNAPSHOT", "SUSPECT", "check", "create")

CONFIG = "recengine.toml"
ARTIFACTS = "artifacts"
QUARANTINE = "quarantine"
JOURNAL = "journal"
SNAPSHOT = "snapshot"
"""Verified copies of the database, from which a damaged one is healed."""
SUSPECT = "suspect"
"""A file that says: damage was met while running, read every block of the database at the next start."""


def create(path: Path) -> None:
    """Make an empty data directory at `path`: the folder, its database, and `artifacts/`.

    Raises
    ------
    DirectoryInvalid : something else is there already, or nothing can be written there.
    """
    if path.exists() and not path.is_dir():
        raise DirectoryInvalid(f"{path}: is a file, a data directory was expected", hint="choose another path")
    if (path / FILE).exists():
        raise DirectoryInvalid(f"{path}: is a data directory already", hint="use it as it is, or choose another path")
    strangers = sorted(p.name for p in path.iterdir() if p.name != CONFIG) if path.is_dir() else []
    if strangers:
        raise DirectoryInvalid(
            f"{path}: is not empty (it has {', '.join(strangers[:3])})", hint="choose an empty folder"
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / ARTIFACTS).mkdir()
    except OSError as err:
        raise DirectoryInvalid(
            f"{path}: cannot be written: {err.strerror}", hint="check the path and its permissions"
        ) from err
    Database.open(path / FILE, Storage(), create=True).close()
    for folder in (path, path.parent):
        flush(folder)


def check(path: Path) -> None:
    """Refuse what is not a data directory that this process can use.

    Raises
    ------
    DirectoryInvalid : `path` is missing, a file, foreign, or not writable.
    """
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise DirectoryInvalid(
            f"{path}: {what}, a data directory was expected", hint=f"make one with `recengine init {path}`"
        )
    if not (path / FILE).is_file():
        raise DirectoryInvalid(
            f"{path}: has no {FILE}, so it is not a data directory", hint=f"make one with `recengine init {path}`"
        )
    if not os.access(path, os.W_OK | os.X_OK) or not os.access(path / FILE, os.W_OK):
        raise DirectoryInvalid(f"{path}: is not writable", hint="check its owner and permissions")
