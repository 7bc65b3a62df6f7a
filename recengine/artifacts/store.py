"""Versions that appear whole or not at all, and the pointer to the live one.

In: a function that fills an empty folder, and what the deployment says of itself. Out: `<data>/artifacts/<version>/`,
and `current`, which names the live version and those before it.

Why this order of steps: a version is written aside (`.tmp-*`), every file is flushed and hashed, the manifest comes
last, and one rename makes it visible; `current` is replaced by one rename as well. A crash at any step leaves the old
deployment in force.
"""

import os
import secrets
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from recengine.artifacts.manifest import NAME, About, Manifest, read_manifest, seal, verify
from recengine.artifacts.shared import hold_shared
from recengine.durable import flush
from recengine.errors import BadArtifact, UnknownVersion
from recengine.hashes import kept

__all__ = ("ArtifactStore",)

_REMEMBERED = 50  # earlier live versions that `current` names, for rollback


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
        names = (p.name for p in self.folder.iterdir() if NAME.fullmatch(p.name) and p.is_dir())
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
        return read_manifest(self._existing(version))

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

        Raises
        ------
        BadArtifact : a file that it shares with an earlier version is no longer what that one has sealed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        version = self._next_name()
        aside = self.folder / f".tmp-{version}-{os.getpid()}"
        self._writing.add(aside.name)
        try:
            aside.mkdir()
            write(aside)
            files = seal(aside, version, about).files
            hold_shared(aside, files, (self.folder / name for name in self.list_versions()))
            aside.rename(self.folder / version)
            flush(self.folder)
        finally:
            if aside.exists():
                shutil.rmtree(aside)
            self._writing.discard(aside.name)
        return version

    def promote(self, version: str, *, sealed: bool = False) -> None:
        """Make `version` the live one, after verifying it; `sealed`: this process has just hashed what it wrote.

        Raises
        ------
        UnknownVersion, BadArtifact : as in `open`; the pointer stays.
        """
        self._existing(version)
        if not sealed:
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
        BadArtifact : the earlier one is damaged; the pointer stays, and the hint names the newest sound version.
        """
        existing = set(self.list_versions())
        history = self._history()
        targets = [name for name in history[1:] if name in existing and name != history[0]]
        if not targets:
            raise UnknownVersion("there is no earlier deployment", hint="`models list` names all versions")
        try:
            verify(self.folder / targets[0])
        except BadArtifact as err:
            raise BadArtifact(err.message, hint=self._way_out({history[0], targets[0]})) from err
        self._point(targets)
        return targets[0]

    def prune(self, keep: int) -> tuple[str, ...]:
        """Remove all but the `keep` newest versions, and what crashes left; returns the names removed.

        The live version and the one `rollback` would go to stay in any case, and so does the full training that the
        live version rests on.
        """
        existing = self.list_versions()
        history = [name for name in self._history() if name in existing]
        spare = {*existing[: max(keep, 0)], *history[:2], *self._rest(history[:1])}
        gone = tuple(name for name in existing if name not in spare)
        for name in gone:  # renamed first, so that a half-removed folder never counts as a version
            (self.folder / name).rename(self.folder / f".tmp-{name}-{os.getpid()}")
        if self.folder.is_dir():
            for path in self.folder.glob(".tmp-*"):
                if path.name not in self._writing and not _elsewhere(path.name):
                    _remove(path)
        return gone

    def _way_out(self, without: set[str]) -> str:
        """Say what to do where neither the live version nor the one before it will do."""
        for version in self.list_versions():
            if version not in without:
                with suppress(BadArtifact):  # then it is no way out, and an older one may be
                    verify(self.folder / version)
                    return f"the newest sound version is {version}: promote it, or train in full"
        return "no other version is sound: train in full"

    def _rest(self, versions: list[str]) -> set[str]:
        """Name the full trainings that `versions` rest on."""
        stands = [self.manifest(version).about.incremental for version in versions]
        return {one.full for one in stands if one is not None}

    def _existing(self, version: str) -> Path:
        if not NAME.fullmatch(version) or not (self.folder / version).is_dir():
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
        if names[-1] or len(names) < 2 or not all(NAME.fullmatch(name) for name in names[:-1]):
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


def _remove(path: Path) -> None:
    """Remove a file or a folder; what other versions share of it is still known by its hash."""
    files = [each for each in (path, *path.rglob("*")) if stat.S_ISREG(each.lstat().st_mode)]
    with kept(each for each in files if each.stat().st_nlink > 1):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


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
