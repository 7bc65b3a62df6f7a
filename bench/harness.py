"""What every bench shares: arguments, repeats, and one JSON line with the machine, the versions and the commit."""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def arguments(doc: str | None, **extra: Any) -> argparse.Namespace:
    """Parse `--json --small --threads N` plus `extra` options given as name=default; False makes a switch."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON line only")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--threads", type=int, default=2)
    for name, default in extra.items():
        kind = {"action": "store_true"} if default is False else {"type": type(default), "default": default}
        parser.add_argument(f"--{name.replace('_', '-')}", **kind)
    return parser.parse_args()


def seconds(run: Callable[[], Any], *, repeats: int = 5, warmup: int = 1) -> list[float]:
    """Time `run` `repeats` times after `warmup` unmeasured calls."""
    for _ in range(warmup):
        run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def interleaved(*runs: Callable[[], Any], repeats: int = 5, warmup: int = 1) -> list[list[float]]:
    """Time rivals in turns (A B A B ...), so that a noisy neighbour hits both."""
    for run in runs:
        for _ in range(warmup):
            run()
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for mine, run in zip(times, runs, strict=True):
            mine.extend(seconds(run, repeats=1, warmup=0))
    return times


def summary(times: list[float]) -> dict[str, float]:
    """Median, minimum and maximum, in seconds."""
    return {"median": statistics.median(times), "min": min(times), "max": max(times)}


def report(question: str, args: argparse.Namespace, **answer: Any) -> None:
    """Print the answer: one JSON line with `--json`, else readable lines before it."""
    line = {"bench": question, **answer, "machine": machine()}
    if not args.json:
        for key, value in answer.items():
            print(f"{key:>28}  {json.dumps(value)}")
    print(json.dumps(line))


def machine() -> dict[str, Any]:
    """Describe where the figures come from."""
    versions = {p: _version(p) for p in ("recengine", "numpy", "scipy", "duckdb", "implicit")}
    ask = ["git", "rev-parse", "--short", "HEAD"]
    git = subprocess.run(ask, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)  # noqa: S603
    python = platform.python_version()
    return {"cpu": _cpu(), "cores": os.cpu_count(), "python": python, "commit": git.stdout.strip(), **versions}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    names = (line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name"))
    return next(names, platform.machine())
