"""Model folders on disk: versions that appear whole or not at all, and the pointer to the live one.

Floor 2: the end of the offline spine and the beginning of the online one. In: what a deployment writes into a folder,
and `About`, what it says of itself. Out: `<data>/artifacts/<version>/` with `manifest.json`, and the pointer `current`.

Why this order of steps: a version is written aside (`.tmp-*`), every file is flushed and hashed, the manifest comes
last, and one rename makes it visible; `current` is replaced by one rename as well. A crash at any step leaves the old
deployment in force. Why hashes before parsers: damaged model files have crashed and hung this field's parsers, or gave
wrong scores in silence, so `verify` reads every byte before anybody interprets one. Arrays are `.npy`, never pickles.
"""

import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
import numpy.typing as npt

from recengine.durable import digest, digest_of, flush
from recengine.errors import BadArtifact, UnknownVersion

__all__ = ("FORMAT", "About", "ArtifactStore", "FileRecord", "Manifest", "read_arrays", "verify", "write_arrays")

FORMAT = 2
"""Of the folder; another one is refused. 2: popularity keeps its sums, which live events are added to."""

MANIFEST = "manifest.json"
_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
_AGAIN = "train again, or roll back"
_REMEMBERED = 50  # earlier live versions that `current` names, for rollback


class FileRecord(msgspec.Struct, frozen=True):
    """One file of a version: `size` in bytes and the hex BLAKE2b-256 of its content."""

    size: int
    blake2b: str


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


class ArtifactStore:
    """The versions below one folder.

    Parameters
    ----------
    folder : `<data>/artifacts`; made when first written to.
    """

    _writing: ClassVar[set[str]] = set()  # folders being written in this process, so that `prune` spares them

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list_versions(self) -> tuple[str, ...]:
        """Name all versions, newest first."""
        if not self.folder.is_dir():
            return ()
        names = (p.name for p in self.folder.iterdir() if _NAME.fullmatch(p.name) and p.is_dir())
        return tuple(sorted(names, reverse=True))

    def current(self) -> str | None:
        """Name the live version; None before the first.

        Raises
        ------
        BadArtifact : the pointer is damaged.
        """
        history = self._history()
        return history[0] if history else None

    def manifest(self, version: str) -> Manifest:
        """Read what `version` says of itself, without verifying its files.

        Raises
        ------
        UnknownVersion : there is none of that name.
        BadArtifact : the manifest is damaged or of a newer format.
        """
        return _read_manifest(self._existing(version))

    def open(self, version: str | None = None) -> Path:
        """Verify `version` (the live one where None) and return its folder.

        Raises
        ------
        UnknownVersion : there is none of that name, or none is live.
        BadArtifact : as in `verify`.
        """
        version = version or self.current()
        if version is None:
            raise UnknownVersion("no version is live", hint="train first")
        folder = self._existing(version)
        verify(folder)
        return folder

    def publish(self, write: Callable[[Path], None], about: About) -> str:
        """Write a new version: `write` fills an empty folder; returns the version's name. It is not yet live.

        Whatever goes wrong, an interrupt included, nothing is left behind. Cost: every file is flushed and read once.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        version = self._next_name()
        aside = self.folder / f".tmp-{version}-{os.getpid()}"
        self._writing.add(aside.name)
        try:
            aside.mkdir()
            write(aside)
            _seal(aside, version, about)
            aside.rename(self.folder / version)
            flush(self.folder)
        finally:
            if aside.exists():
                shutil.rmtree(aside)
            self._writing.discard(aside.name)
        return version

    def promote(self, version: str) -> None:
        """Make `version` the live one, after verifying it.

        Raises
        ------
        UnknownVersion, BadArtifact : as in `open`; the pointer stays.
        """
        self.open(version)
        try:
            history = self._history()
        except BadArtifact:  # promoting is how an operator mends a damaged pointer; only the rollback order is lost
            history = []
        if not history or history[0] != version:
            self._point([version, *history])

    def rollback(self) -> str:
        """Make the version live that was so before the current one; returns its name. Again = one further back.

        Raises
        ------
        UnknownVersion : there is no earlier one left.
        BadArtifact : the earlier one is damaged; the pointer stays.
        """
        existing = set(self.list_versions())
        history = self._history()
        targets = [name for name in history[1:] if name in existing and name != history[0]]
        if not targets:
            raise UnknownVersion("there is no earlier deployment", hint="`models list` names all versions")
        verify(self.folder / targets[0])
        self._point(targets)
        return targets[0]

    def prune(self, keep: int) -> tuple[str, ...]:
        """Remove all but the `keep` newest versions, and what crashes left; returns the names removed.

        The live version and the one `rollback` would go to stay in any case.
        """
        existing = self.list_versions()
        history = [name for name in self._history() if name in existing]
        spare = {*existing[: max(keep, 0)], *history[:2]}
        gone = tuple(name for name in existing if name not in spare)
        for name in gone:  # renamed first, so that a half-removed folder never counts as a version
            (self.folder / name).rename(self.folder / f".tmp-{name}-{os.getpid()}")
        if self.folder.is_dir():
            for path in self.folder.glob(".tmp-*"):
                if path.name not in self._writing and not _elsewhere(path.name):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        return gone

    def _existing(self, version: str) -> Path:
        if not _NAME.fullmatch(version) or not (self.folder / version).is_dir():
            known = ", ".join(self.list_versions()[:5]) or "none"
            raise UnknownVersion(f"no version {version!r}", hint=f"the newest are: {known}")
        return self.folder / version

    def _next_name(self) -> str:
        now = datetime.now(UTC)
        newest = next(iter(self.list_versions()), "")
        while (stamp := now.strftime("%Y%m%d-%H%M%S")) <= newest[:15]:  # names sort by time even within a second
            now += timedelta(seconds=1)
        return f"{stamp}-{secrets.token_hex(2)}"

    def _history(self) -> list[str]:
        """Read `current`: the live version, then the earlier live ones, latest first."""
        try:
            text = (self.folder / "current").read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return []
        names = text.split("\n")
        if names[-1] or len(names) < 2 or not all(_NAME.fullmatch(name) for name in names[:-1]):
            raise BadArtifact("artifacts/current: expected version names, one a line", hint="promote a version")
        return names[:-1]

    def _point(self, history: list[str]) -> None:
        aside = self.folder / f".tmp-current-{os.getpid()}"
        try:
            aside.write_text("".join(f"{name}\n" for name in history[:_REMEMBERED]), encoding="ascii")
            flush(aside)
            aside.replace(self.folder / "current")
            flush(self.folder)
        finally:
            aside.unlink(missing_ok=True)


def verify(folder: Path) -> Manifest:
    """Check size and hash of every file of a version against its manifest; nothing is parsed but the manifest.

    Cost: one read of everything, about 1 s a GB.

    Raises
    ------
    BadArtifact : a file is missing, changed, not in the manifest, or no plain file; or the manifest itself is damaged.
    """
    manifest = _read_manifest(folder)
    if manifest.version != folder.name and _NAME.fullmatch(folder.name):
        raise BadArtifact(f"{folder.name}/{MANIFEST}: belongs to version {manifest.version}", hint=_AGAIN)
    there = _files(folder)
    for name, record in manifest.files.items():
        if name not in there:
            raise BadArtifact(f"{folder.name}/{name}: missing", hint=_AGAIN)
        size = (folder / name).stat().st_size
        if size != record.size:
            raise BadArtifact(f"{folder.name}/{name}: expected {record.size} bytes, found {size}", hint=_AGAIN)
        if digest(folder / name) != record.blake2b:
            raise BadArtifact(f"{folder.name}/{name}: the content has changed", hint=_AGAIN)
    for name in there - manifest.files.keys() - {MANIFEST}:
        raise BadArtifact(f"{folder.name}/{name}: not part of this version", hint="remove the file")
    return manifest


def write_arrays(folder: Path, **arrays: npt.NDArray[Any]) -> None:
    """Write each array as `<name>.npy` into `folder`, C order."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)


def read_arrays(folder: Path, *names: str) -> tuple[npt.NDArray[Any], ...]:
    """Memory-map the named arrays of `folder`, read-only.

    Raises
    ------
    BadArtifact : a file is missing or is no array.
    """
    arrays = []
    for name in names:
        try:
            mapped = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as err:
            where = f"{folder.name}/{name}.npy"
            raise BadArtifact(f"{where}: expected a numpy array: {err}", hint=_AGAIN) from err
        arrays.append(mapped.view(np.ndarray))  # the memmap subclass makes every slice 2 us slower
    return tuple(arrays)


def _seal(folder: Path, version: str, about: About) -> None:
    files = {}
    for name in sorted(_files(folder)):
        flush(folder / name)
        files[name] = FileRecord((folder / name).stat().st_size, digest(folder / name))
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


def _read_manifest(folder: Path) -> Manifest:
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


def _elsewhere(name: str) -> bool:
    """Tell whether the process that made the temporary `name` is another one and still runs."""
    pid = name.rpartition("-")[2]
    if not pid.isdigit() or int(pid) == os.getpid():
        return False
    with suppress(ProcessLookupError):
        try:
            os.kill(int(pid), 0)
        except PermissionError:
            return True
        return True
    return False


def _installed(package: str) -> str:
    try:
        return installed(package)
    except PackageNotFoundError:
        return "unknown"
