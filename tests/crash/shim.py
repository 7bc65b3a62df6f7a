"""Compile `shim.c`, put it under a process, and read what it logged."""

import ctypes
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
WRITE, SYNC, SHORT = (ord(letter) for letter in "wsh")


def compiled(folder: Path) -> Path | None:
    """Build the library in `folder`; None where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = folder / "shim.so"
    subprocess.run([compiler, "-O1", "-Wall", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


@dataclass
class Shim:
    """One shimmed process to be: which folder it is watched over, and where its log and graves lie."""

    library: Path
    root: Path
    aside: Path
    """A folder on the same disk, outside `root`."""
    mark: str = ""
    durable: dict[int, int] = field(default_factory=dict)
    """inode -> size: what lay in `root` before the process; it counts as synced."""

    def __post_init__(self) -> None:
        shutil.rmtree(self.aside, ignore_errors=True)
        self.aside.mkdir(parents=True)
        self.root = self.root.resolve()
        self.durable = {p.stat().st_ino: p.stat().st_size for p in self.root.rglob("*") if p.is_file()}

    @property
    def environment(self) -> dict[str, str]:
        """What the process must be started with."""
        names = {"LD_PRELOAD": self.library, "SHIM_ROOT": self.root, "SHIM_LOG": self.aside / "log", "SHIM_GRAVES": self.aside}
        return os.environ | {name: str(value) for name, value in names.items()} | ({"SHIM_MARK": self.mark} if self.mark else {})

    def lines(self) -> list[list[str]]:
        """What happened, in order: the fields of each line; see `shim.c`."""
        text = (self.aside / "log").read_text(encoding="utf-8", errors="replace")
        return [line.split("\t") for line in text.splitlines()]


class Faults:
    """The switch of the shim inside this process, which must have been started with it."""

    def __init__(self, library: Path) -> None:
        self._shim = ctypes.CDLL(str(library))
        self._shim.shim_seen.restype = ctypes.c_long

    def watch(self, root: Path, aside: Path) -> None:
        """Count, log and fail from now on what happens under `root`."""
        self._shim.shim_watch(str(root).encode(), str(aside / "log").encode(), str(aside).encode())

    def arm(self, call: int, part: str, n: int, *, forever: bool, error: int) -> None:
        """Let the n-th `call` from now to a file with `part` in its path fail with `error`, once or from then on."""
        self._shim.shim_arm(call, part.encode(), ctypes.c_long(n), int(forever), error)

    def disarm(self) -> int:
        """End it; returns how many calls there were, failed ones included."""
        seen = self._shim.shim_seen()
        self._shim.shim_arm(0, b"", ctypes.c_long(0), 0, 0)
        return seen
