"""How far the database is: facts in `meta` that tie it to the journal before it.

Floor 2. In: the cursor of a read, or of a running write. `last_seq` moves in the transaction that stores the frames up
to it, so that what the database holds and what it says it holds are one. An ingest goes past the journal: it is counted
in its own transaction, and a frame in the journal says so too, so that no older copy is ever taken for the whole.

A user who is forgotten is still in the last snapshot and in the frames before it: the transaction that erases says that
an erase is owed, and the snapshot that follows settles it.
"""

from uuid import UUID

from recengine.errors import StoreCorrupt
from recengine.store.cursor import Cursor
from recengine.store.queries import query

__all__ = (
    "count_ingest",
    "erase_owed",
    "ingests",
    "ingests_marked",
    "last_seq",
    "owe_erase",
    "set_ingests_marked",
    "set_last_seq",
    "settle_erase",
    "store_id",
)

_ERASE = {"key": "erase_owed"}


def last_seq(cursor: Cursor) -> int:
    """Read the last journal frame that is stored; -1 = none."""
    return _number(cursor, "last_seq")


def set_last_seq(cursor: Cursor, seq: int) -> None:
    """Say in the running transaction that it stores the journal up to `seq`."""
    _set(cursor, "last_seq", seq)


def ingests(cursor: Cursor) -> int:
    """Count the ingests that were committed."""
    return _number(cursor, "ingests")


def count_ingest(cursor: Cursor) -> int:
    """Count the running transaction as an ingest; returns its number, which its frame in the journal carries."""
    number = ingests(cursor) + 1
    _set(cursor, "ingests", number)
    return number


def ingests_marked(cursor: Cursor) -> int:
    """Read the number of the last ingest whose frame in the journal is stored."""
    return _number(cursor, "ingests_marked")


def set_ingests_marked(cursor: Cursor, number: int) -> None:
    """Say in the running transaction that it stores the frame of ingest `number`."""
    _set(cursor, "ingests_marked", number)


def owe_erase(cursor: Cursor, seq: int) -> None:
    """Say in the running transaction that snapshot and journal still hold somebody whom frames up to `seq` erase."""
    cursor.execute(query("store/drop_meta"), _ERASE)
    cursor.execute(query("store/insert_meta"), {**_ERASE, "value": str(seq)})


def erase_owed(cursor: Cursor) -> int | None:
    """Read up to which frame a snapshot must reach, so that nobody who was forgotten is kept; None = all is settled."""
    found = cursor.rows(query("store/read_meta"), _ERASE)
    return int(found[0][0]) if found else None


def settle_erase(cursor: Cursor, through: int) -> None:
    """Say in the running transaction that the snapshot reaches `through`, and no older one or older frame is left."""
    owed = erase_owed(cursor)
    if owed is not None and owed <= through:
        cursor.execute(query("store/drop_meta"), _ERASE)


def store_id(cursor: Cursor) -> bytes:
    """Read the 16 bytes that tell this store, and its copies, from others."""
    return UUID(_text(cursor, "store")).bytes


def _text(cursor: Cursor, key: str) -> str:
    found = cursor.rows(query("store/read_meta"), {"key": key})
    if len(found) != 1:
        raise StoreCorrupt(f"the table meta has {len(found)} rows for {key}, 1 was expected", hint="restore a backup")
    return str(found[0][0])


def _number(cursor: Cursor, key: str) -> int:
    return int(_text(cursor, key))


def _set(cursor: Cursor, key: str, value: int) -> None:
    cursor.execute(query("store/update_meta"), {"key": key, "value": str(value)})
