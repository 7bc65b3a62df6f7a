"""What became of the last pulls of every configured source: how fresh its data are, and where the next begins.

Floor 2. In: the cursor of a read, or of a running write. The mark moves in the transaction that stores the rows up to
it, so that a pull which fails anywhere is made again from where the last good one ended.
"""

import msgspec

from recengine.store.cursor import Cursor
from recengine.store.queries import query

__all__ = ("Pulls", "pulls", "record_failed", "record_pulled")


class Pulls(msgspec.Struct, frozen=True):
    """Of one source. Moments are int64 microseconds."""

    source: str
    about: str
    """A digest of what is pulled; where another one stands, the mark is of something else."""
    at: int | None = None
    """Of the last good pull; None = there was none."""
    mark: str | None = None
    """JSON: the highest value of the watermark column that was stored."""
    rows: int = 0
    stored: int = 0
    """What the last good pull brought, and what of it was new."""
    failures: int = 0
    """Since the last good pull."""
    failed_at: int | None = None
    error: str | None = None


def pulls(cursor: Cursor) -> dict[str, Pulls]:
    """Read what is known of all sources by name."""
    return {row[0]: Pulls(*row) for row in cursor.rows(query("store/read_pulls"))}


def record_pulled(cursor: Cursor, pulled: Pulls) -> None:
    """Say in the running transaction what it stored."""
    _put(cursor, pulled)


def record_failed(cursor: Cursor, source: str, about: str, *, at: int, error: str) -> Pulls:
    """Say that a pull failed; what the last good one brought stays as it was. Returns what is known now."""
    before = pulls(cursor).get(source, Pulls(source, about))
    now = msgspec.structs.replace(before, failures=before.failures + 1, failed_at=at, error=error)
    _put(cursor, now)
    return now


def _put(cursor: Cursor, known: Pulls) -> None:
    cursor.execute(query("store/drop_pull"), {"source": known.source})
    cursor.execute(query("store/insert_pull"), msgspec.structs.asdict(known))
