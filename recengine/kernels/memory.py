"""How much memory a fit may still take: the one place that asks the system.

In: nothing. Out: bytes. Asked before an array is made that grows with the square of something, because Linux grants
such an array and kills the process later, when it is written.
"""

from pathlib import Path

__all__ = ("available_bytes",)

_MACHINE = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int | None:
    """Return the bytes that can be taken without swapping, within the limit of the container; None = not known."""
    free = _available_of_the_machine()
    if free is None:
        return None
    try:
        limit = (_GROUP / "memory.max").read_text().strip()
        used = int((_GROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one of the older kind
        return free
    return free if limit == "max" else min(free, max(int(limit) - used, 0))


def _available_of_the_machine() -> int | None:
    try:
        lines = _MACHINE.read_text().splitlines()
    except OSError:  # not Linux
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)
