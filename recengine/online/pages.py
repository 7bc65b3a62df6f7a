"""Pages of a long list: which rows come next, and the opaque text that leads to the page after them.

Rows never change and new ones come at the end, so a listing that goes on while items arrive misses and repeats none.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from recengine.errors import BadRequest

__all__ = ("MAX_LIMIT", "page")

MAX_LIMIT = 1_000


def page(after: str, limit: int, n: int) -> tuple[range, str | None]:
    """Choose the rows of a page out of n, and the cursor of the next one (None = this is the last).

    Parameters
    ----------
    after : "" = from the beginning, or the cursor that came with the page before.
    limit : rows wanted, 1 .. 1,000.

    Raises
    ------
    BadRequest : `after` is no cursor, `limit` is out of range.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_LIMIT:
        raise BadRequest(f"limit: expected an integer from 1 to {MAX_LIMIT}, got {limit!r:.40}")
    start = _start(after) if after else 0
    rows = range(min(start, n), min(start + limit, n))
    return rows, _cursor(rows.stop) if rows.stop < n else None


def _cursor(row: int) -> str:
    return urlsafe_b64encode(b"row %d" % row).decode().rstrip("=")


def _start(after: str) -> int:
    try:
        text = urlsafe_b64decode(f"{after}{'=' * (-len(after) % 4)}").decode("ascii")
        row = int(text.removeprefix("row ")) if len(text) <= len("row 2147483647") else -1
    except ValueError:  # not base64, not ASCII, no number
        row = -1
    if row < 0 or _cursor(row) != after:  # one spelling a cursor
        raise BadRequest(f"after: {after[:40]!r} is no cursor", hint="send `next` of the page before, as it came")
    return row
