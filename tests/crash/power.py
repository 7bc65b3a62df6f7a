"""What a power cut leaves of a folder: the harshest thing that POSIX allows, as far as files that grow are concerned.

In: the folder as a killed process left it (a kill does not lose what the kernel holds) and the shim's log. Out: the
folder as it would be found. Bytes beyond a file's last sync are gone, or torn: a piece of them, zeros, or noise. What
was done to a directory since its last sync (files made, renamed, unlinked) is undone from the newest back, some or all.

Not modelled: writes into what was synced already, past the last sync. DuckDB makes them in its main file during a
checkpoint (new blocks first, a sync, then the header); they are left as they are.
"""

import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.crash.shim import Shim


@dataclass
class Cut:
    """What was taken: bytes beyond the last sync, files with a torn end, undone entries of directories."""

    lost_bytes: int = 0
    torn: int = 0
    undone: int = 0


def power_cut(shim: Shim, rng: random.Random) -> Cut:
    """Turn the folder of a killed process into what a power cut would have left."""
    cut = Cut()
    sizes, entries = known(shim)
    for _ in range(rng.choice((0, len(entries), rng.randint(0, len(entries))))):
        cut.undone += entries.pop().undo()
    for path in sorted(p for p in shim.root.rglob("*") if p.is_file() and not p.is_symlink()):
        facts = path.stat()
        kept = sizes.get(facts.st_ino, 0)
        if facts.st_size > kept:
            cut.lost_bytes += facts.st_size - kept
            cut.torn += _tear(path, kept, facts.st_size, rng)
    return cut


def known(shim: Shim) -> tuple[dict[int, int], "list[Entry]"]:
    """What a process left to chance: inode -> size as of the last sync, and what no sync of a folder made durable."""
    sizes, entries = dict(shim.durable), []
    for kind, *fields in shim.lines():
        match kind, fields:
            case "sync", [inode, size, _]:
                sizes[int(inode)] = int(size)
            case "dirsync", [folder]:
                entries = [entry for entry in entries if folder not in entry.folders]
            case "create", [inode, path]:
                sizes[int(inode)] = 0
                entries.append(Entry("create", Path(path)))
            case "mkdir", [path]:
                entries.append(Entry("mkdir", Path(path)))
            case "rename", [grave, old, new]:
                for entry in entries:
                    entry.follow(Path(old), Path(new))
                entries.append(Entry("rename", Path(new), Path(old), grave))
            case "unlink", [grave, path]:
                entries.append(Entry("unlink", Path(path), None, grave))
    return sizes, entries


@dataclass
class Entry:
    """Something done to a directory that no sync has made durable yet."""

    kind: str
    path: Path
    old: Path | None = None
    grave: str = "-"

    @property
    def folders(self) -> set[str]:
        """A sync of any of these makes it durable: one journal transaction of the file system holds both ends."""
        return {str(path.parent) for path in (self.path, self.old) if path is not None}

    def follow(self, old: Path, new: Path) -> None:
        """Go with a folder that is renamed: what was done in it is found there."""
        if self.path.is_relative_to(old) and self.path != old:
            self.path = new / self.path.relative_to(old)
        if self.old is not None and self.old.is_relative_to(old) and self.old != old:
            self.old = new / self.old.relative_to(old)

    def undo(self) -> bool:
        """Take it back; False where there is nothing left to take back."""
        if self.kind == "mkdir":
            found = self.path.exists()
            shutil.rmtree(self.path, ignore_errors=True)
            return found
        if self.kind == "create":
            found = self.path.exists()
            self.path.unlink(missing_ok=True)
            return found
        if self.kind == "rename" and self.old is not None and self.path.exists():
            self.old.parent.mkdir(parents=True, exist_ok=True)
            self.path.replace(self.old)
        if self.grave != "-":
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.link(self.grave, self.path)
        return self.grave != "-" or self.kind == "rename"


def _tear(path: Path, kept: int, size: int, rng: random.Random) -> bool:
    """Cut `path` to what was synced; to half of the files put a torn end. Tells whether."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(kept)
        tail = file.read(min(size - kept, 1 << 20))
        piece = rng.randint(1, len(tail))
        file.truncate(kept)
        file.seek(kept)
        torn = rng.random() < 0.5
        if torn:
            file.write(rng.choice((tail[:piece], bytes(piece), tail[: piece // 2] + bytes(piece - piece // 2), rng.randbytes(piece))))
    path.chmod(mode)
    return torn
