"""One JSON line on stderr for what is worth it: failed and slow requests, swaps of the deployment, our own defects.

Why not the `logging` module: a request's line would cost more than a cached answer, and every handler in the process
could change its form. Values are JSON, so nothing that a caller sends can start a line of its own. No keys, no bodies.
"""

import sys
import traceback
from datetime import UTC, datetime
from typing import Any

import msgspec

__all__ = ("fault", "line")

_encode = msgspec.json.Encoder().encode
_LONGEST = 2000


def line(level: str, event: str, **fields: Any) -> None:
    """Write one line: `time`, `level` (info, warning, error), `event`, and the fields."""
    record = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event}
    for name, value in fields.items():
        record[name] = value[:_LONGEST] if isinstance(value, str) else value
    sys.stderr.write(_encode(record).decode() + "\n")
    sys.stderr.flush()


def fault(event: str, error: BaseException, **fields: Any) -> None:
    """Write an unexpected error with its traceback."""
    trace = "".join(traceback.format_exception(error))
    line("error", event, error=f"{type(error).__name__}: {error}", trace=trace[-_LONGEST:], **fields)
