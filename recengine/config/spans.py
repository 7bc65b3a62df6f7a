"""Lengths of time as people write them: `30m`, `12h`, `7d`, `2w`."""

import re

__all__ = ("SPAN", "microseconds")

SPAN = r"^[1-9]\d{0,5}[mhdw]$"
"""What a length of time looks like."""

_UNITS = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}
_FORM = re.compile(SPAN)


def microseconds(span: str) -> int:
    """Return a length of time in microseconds; `span` has the form `SPAN`."""
    if not _FORM.fullmatch(span):
        raise ValueError(f"expected a length of time such as 30m, 12h, 7d or 2w, got {span!r}")
    return int(span[:-1]) * _UNITS[span[-1]]
