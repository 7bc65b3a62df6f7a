"""How far the database is: the last frame of the journal that it holds, moved in the transaction that stores it."""

from recengine.store.cursor import Cursor
from recengine.store.queries import query

__all__ = ("last_seq", "set_last_seq")

_KEY = "last_seq"


def last_seq(cursor: Cursor) -> int:
    """Read the seq of the last frame stored; -1 = none yet."""
    found = cursor.rows(query("store/read_meta"), {"key": _KEY})
    return int(found[0][0]) if found else -1


def set_last_seq(cursor: Cursor, seq: int) -> None:
    """Move it, within the transaction that stores the frames up to `seq`."""
    name = "store/update_meta" if cursor.rows(query("store/read_meta"), {"key": _KEY}) else "store/insert_meta"
    cursor.execute(query(name), {"key": _KEY, "value": str(seq)})
