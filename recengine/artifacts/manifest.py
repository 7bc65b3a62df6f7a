"""What a version says of itself, and whether that is still so.

In: a folder that `store.py` has had written. Out: its `manifest.json`, which names every file with size and hash; and,
whenever the folder is opened, the same read again and held against what lies there.

Why hashes before parsers: damaged model files have crashed and hung this field's parsers, or gave wrong scores in
silence, so `verify` has every byte read before anybody interprets one; see `hashes.py`.
"""

import re
import stat
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from recengine.durable import digest_of, flush
from recengine.errors import BadArtifact
from recengine.hashes import hashed

__all__ = ("FORMAT", "NAME", "About", "FileRecord", "Manifest", "Stands", "read_manifest", "seal", "verify")

FORMAT = 4
"""Of the folder; another one is refused. 2: popularity keeps its sums, which live events are added to. 3: calibrations
are curves, and the blend has one of its own. 4: rows of item weights may lie over others."""

MANIFEST = "manifest.json"
NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
"""Of a version: date, time (UTC) and four digits of chance."""
_AGAIN = "train again, or roll back"
_HASHERS = 4
"""Threads; BLAKE2b takes 1 s a GB on one, more than reading does, and the disk takes many flushes at once."""


class FileRecord(msgspec.Struct, frozen=True):
    """One file of a version: `size` in bytes and the hex BLAKE2b-256 of its content."""

    size: int
    blake2b: str


class Stands(msgspec.Struct, frozen=True, kw_only=True):
    """What an increment rests on."""

    full: str
    """The version of the last full training."""
    full_events: int
    """That it had learned from."""
    previous: str
    """The version that this one was made of."""
    increments: int
    """Since the full training, this one included."""
    updated: tuple[str, ...]
    """The models that learned what was new; the others are those of `full`."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment says of itself."""

    models: tuple[Mapping[str, Any], ...] = ()
    """The configuration of every model, `kind` and `name` included."""
    weights: Mapping[str, float] = {}
    """Of the blend, by model name."""
    n_users: int = 0
    n_items: int = 0
    events: int = 0
    first: int | None = None
    """Time of the first event learned from (int64 microseconds, or the feed's own order)."""
    last: int | None = None
    """Time of the last event learned from."""
    last_seq: int = 0
    """Number in the store of the last event learned from."""
    seed: int = 0
    metrics: Mapping[str, float] = {}
    """Of the report that let it pass, such as `ndcg@20`."""
    settings: str = ""
    """A hash of the configuration that models and features were made with; empty = it was not noted."""
    incremental: Stands | None = None
    """None = it was trained in full."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`manifest.json`: what the folder holds and where it comes from."""

    format: int
    version: str
    created: str
    """ISO 8601, UTC."""
    recengine: str
    numpy: str
    files: dict[str, FileRecord]
    """By path below the folder, `/` between parts."""
    about: About


class _Sealed(msgspec.Struct, frozen=True):
    """The file as it lies on disk: `digest` is the BLAKE2b-256 of the bytes of `manifest`."""

    digest: str
    manifest: msgspec.Raw


class _Format(msgspec.Struct, frozen=True):
    format: int


def verify(folder: Path) -> Manifest:
    """Check size and hash of every file of a version against its manifest; nothing is parsed but the manifest.

    Cost: one read of everything, about 1 s a GB.

    Raises
    ------
    BadArtifact : a file is missing, changed, not in the manifest, or no plain file; or the manifest itself is damaged.
    """
    manifest = read_manifest(folder)
    if manifest.version != folder.name and NAME.fullmatch(folder.name):
        raise BadArtifact(f"{folder.name}/{MANIFEST}: belongs to version {manifest.version}", hint=_AGAIN)
    there = _files(folder)
    for name, record in manifest.files.items():
        if name not in there:
            raise BadArtifact(f"{folder.name}/{name}: missing", hint=_AGAIN)
        size = (folder / name).stat().st_size
        if size != record.size:
            raise BadArtifact(f"{folder.name}/{name}: expected {record.size} bytes, found {size}", hint=_AGAIN)
    for (name, record), found in zip(
        manifest.files.items(), _digests(folder, list(manifest.files), hashed), strict=True
    ):
        if found != record.blake2b:
            raise BadArtifact(f"{folder.name}/{name}: the content has changed", hint=_AGAIN)
    for name in there - manifest.files.keys() - {MANIFEST}:
        raise BadArtifact(f"{folder.name}/{name}: not part of this version", hint="remove the file")
    return manifest


def seal(folder: Path, version: str, about: About) -> Manifest:
    """Flush and hash every file of `folder`, then write the manifest that names them; returns it.

    Cost: one read of everything.

    Raises
    ------
    BadArtifact : there is something that is neither a file nor a folder.
    """
    names = sorted(_files(folder))
    hashes = _digests(folder, names, _flushed)
    files = {name: FileRecord((folder / name).stat().st_size, found) for name, found in zip(names, hashes, strict=True)}
    manifest = Manifest(
        format=FORMAT,
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        recengine=_installed("recengine"),
        numpy=np.__version__,
        files=files,
        about=about,
    )
    body = msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=1)
    (folder / MANIFEST).write_bytes(b'{"digest": "%s",\n"manifest": %s}\n' % (digest_of(body).encode(), body))
    flush(folder / MANIFEST)
    for parent in {folder, *(path for path in folder.rglob("*") if path.is_dir())}:
        flush(parent)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read what the version in `folder` says of itself; of its files nothing is looked at.

    Raises
    ------
    BadArtifact : it is missing, damaged, or of another format.
    """
    where = f"{folder.name}/{MANIFEST}"
    try:
        sealed = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Sealed)
        body = bytes(sealed.manifest)
        if digest_of(body) != sealed.digest:
            raise BadArtifact(f"{where}: the content has changed", hint=_AGAIN)
        found = msgspec.json.decode(body, type=_Format).format
        if found > FORMAT:
            raise BadArtifact(f"{where}: format {found}, this recengine reads {FORMAT}", hint="upgrade recengine")
        if found < FORMAT:
            raise BadArtifact(
                f"{where}: format {found} is of an older recengine, this one reads {FORMAT}", hint="train again"
            )
        return msgspec.json.decode(body, type=Manifest)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as err:
        raise BadArtifact(f"{where}: cannot be read: {err}", hint=_AGAIN) from err


def _digests(folder: Path, names: list[str], how: Callable[[Path], str]) -> list[str]:
    """Hash files of a version, in the order of `names`, on a few threads: hashing lets go of the interpreter."""
    with ThreadPoolExecutor(_HASHERS, thread_name_prefix="recengine-hash") as pool:
        return list(pool.map(lambda name: how(folder / name), names))


def _flushed(path: Path) -> str:
    """Flush a file and hash it: while the disk takes one, another is hashed."""
    flush(path)
    return hashed(path)


def _files(folder: Path) -> set[str]:
    """Name every file below `folder`; what is neither a plain file nor a folder, such as a link, is refused."""
    names = set()
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            names.add(path.relative_to(folder).as_posix())
        elif not stat.S_ISDIR(mode):
            raise BadArtifact(f"{folder.name}/{path.relative_to(folder)}: not a plain file", hint="remove it")
    return names


def _installed(package: str) -> str:
    try:
        return installed(package)
    except PackageNotFoundError:
        return "unknown"
