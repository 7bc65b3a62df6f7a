"""One JSON line on stderr for what is worth it: failed and slow requests, swaps of the deployment, our own defects.

Why not the `logging` module for requests: a line would cost more than a kept answer does. What Granian and the engine
log through it gets the same form. Values are JSON, so nothing that a caller sends can start a line of its own. No keys,
no bodies.
"""

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

import msgspec

__all__ = ("GRANIAN", "Lines", "fault", "line")

_encode = msgspec.json.Encoder().encode
_LONGEST = 2000


def line(level: str, event: str, **fields: Any) -> None:
    """Write one line: `time`, `level` (info, warning, error), `event`, and the fields."""
    sys.stderr.write(_line(level, event, fields) + "\n")
    sys.stderr.flush()


def fault(event: str, error: BaseException, **fields: Any) -> None:
    """Write an unexpected error with its traceback."""
    trace = "".join(traceback.format_exception(error))
    line("error", event, error=f"{type(error).__name__}: {error}", trace=trace[-_LONGEST:], **fields)


def _line(level: str, event: str, fields: dict[str, Any]) -> str:
    record = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event}
    for name, value in fields.items():
        record[name] = _fit(value) if isinstance(value, str) else value
    return _encode(record).decode()


def _fit(text: str) -> str:
    """Cut what is too long, and write half a surrogate pair in letters: JSON has no bytes for one."""
    return text[:_LONGEST].encode(errors="backslashreplace").decode()


class Lines(logging.Formatter):
    """Gives records of `logging` the same form."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as one line."""
        fields = {"logger": record.name}
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)[-_LONGEST:]
        return _line(record.levelname.lower(), _fit(record.getMessage()), fields)


GRANIAN: dict[str, Any] = {
    "formatters": {"lines": {"()": Lines}},
    "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stderr"}},
    "loggers": {
        "_granian": {"handlers": ["lines"], "level": "WARNING", "propagate": False},
        "recengine": {"handlers": ["lines"], "level": "WARNING", "propagate": False},
    },
}
"""What Granian and the engine log: warnings and errors, on stderr."""
