"""Questions about one foreign file that need a table beside it: what stands twice, what is described.

Comes in: the cursor of `files.Foreign`, SQL from `compose.checks`. Goes out: rows, and what stands there.
"""

import numpy as np
import pyarrow as pa

from recengine.store.compose import checks
from recengine.store.cursor import Cursor
from recengine.store.files import PART
from recengine.store.queries import query
from recengine.types import I16, I64

__all__ = ("add_checked", "add_described", "described", "faulty_rows", "first_fault", "repeated", "stage", "tally")


def stage(foreign: Cursor) -> None:
    """Make room for values and for ids."""
    foreign.execute(query("store/stage_checked"))
    foreign.execute(query("store/stage_described"))


def described(cursor: Cursor, what: str) -> pa.Table:
    """List the ids of the items or users that have a version in the store."""
    return cursor.table(query("store/described_items" if what == "items" else "store/described_users"))


def add_described(foreign: Cursor, what: str, ids: pa.Table | str) -> None:
    """Add ids that are described: a table with the column id, or the SQL of those in the foreign file."""
    if isinstance(ids, str):
        foreign.execute(checks.insert_described(what, ids, PART))
        return
    with foreign.registered("described_ids", ids):
        foreign.execute(checks.insert_described(what, "id", "described_ids"))


def add_checked(foreign: Cursor, place: int, file: int, value: str, family: str) -> None:
    """Add the values of one column of the foreign file to those in which none may stand twice."""
    foreign.execute(checks.add_checked(place, file, value, family, PART))


def repeated(foreign: Cursor, place: int) -> tuple[I64, I64, list[str]]:
    """List the file, the row and the value of everything that stands in an earlier row already."""
    found = foreign.table(query("store/repeated_values"), {"place": place})
    files, rows = (np.asarray(found[name].to_numpy(), dtype=np.int64) for name in ("file", "_row"))
    return files, rows, found["value"].to_pylist()


def tally(foreign: Cursor, faults: list[str], moments: list[str]) -> tuple[int, list[int], list[int | None]]:
    """Count the rows of the foreign file and those with each fault; find the newest of each moment."""
    rows, *found = foreign.row(checks.tally(faults, moments, PART))
    return rows, found[: len(faults)], found[len(faults) :]


def first_fault(foreign: Cursor, fault: str, value: str) -> tuple[int, str]:
    """Find the first row with a fault, and what stands there."""
    row, came = foreign.row(checks.first_fault(fault, value, PART))
    return row, came


def faulty_rows(foreign: Cursor, faults: list[str]) -> tuple[I64, I16]:
    """List the rows with any of the faults, and which of them is the first."""
    found = foreign.table(checks.faulty_rows(faults, PART))
    return np.asarray(found["_row"].to_numpy(), dtype=np.int64), np.asarray(found["code"].to_numpy(), dtype=np.int16)
