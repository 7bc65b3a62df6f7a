"""How many threads a setting means: the one place that counts cores.

In: what a configuration or a caller asks for. Out: a number >= 1 for the `threads` of a kernel.
"""

import os

__all__ = ("cores",)


def cores(threads: int = 0) -> int:
    """Return `threads`, or for 0 the cores that this process may use.

    Why not `os.cpu_count` alone: it counts the machine, and in a container or under `taskset` more threads than cores
    only take turns.
    """
    if threads:
        return threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
