"""What ingest asks the store and the foreign files to screen events: who is a machine, what is usual, what is unknown.

Comes in: a cursor of the store within the running transaction, or of `files.Foreign`. Goes out: small answers.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from recengine.store import compose
from recengine.store.cursor import Cursor
from recengine.store.files import PART
from recengine.store.queries import query

__all__ = (
    "add_values",
    "count_orphans",
    "find_machines",
    "machine_rows",
    "stage_repeats",
    "stage_values",
    "unstage_repeats",
    "value_quantiles",
)


def stage_repeats(cursor: Cursor) -> None:
    """Make room for what is passed over as a repeat while a source is read.

    Why it is noted: who does one thing 700 times a minute is no less a machine for it.
    """
    cursor.execute(query("store/stage_repeats"))


def unstage_repeats(cursor: Cursor) -> None:
    """Let it go again."""
    cursor.execute(query("store/unstage_repeats"))


def find_machines(cursor: Cursor, users: Sequence[int], *, first: int, most: int, zone: str) -> list[tuple[int, str]]:
    """List the (user row, day) of those `users` who did more than `most` things within a minute of that day.

    What was passed over as a repeat counts; `stage_repeats` came before.

    Parameters
    ----------
    first : only events with a number from this on count.
    zone : of the days.

    Cost: a sort of the events of `users`.
    """
    asked = {"first": first, "users": list(users), "most": most, "zone": zone}
    return [(user, day) for user, day in cursor.rows(query("store/find_machines"), asked)]


def machine_rows(
    foreign: Cursor, user: str, moment: str, machines: tuple[Sequence[str], Sequence[str]], *, zone: str
) -> pa.Array:
    """List the rows (from 1) of the foreign file whose user was a machine that day.

    Parameters
    ----------
    user, moment : SQL from `compose`; microseconds.
    machines : users and days.
    """
    frame = pa.table({"who": pa.array(machines[0], pa.string()), "day": pa.array(machines[1], pa.string())})
    with foreign.registered("machines", frame):
        return foreign.table(compose.machine_rows(user, moment, zone, PART, ("machines", "who", "day")))["_row"]


def stage_values(foreign: Cursor) -> None:
    """Make room for the values of incoming events."""
    foreign.execute(query("store/stage_values"))


def add_values(foreign: Cursor, kind: str, value: str) -> None:
    """Add the values of the foreign file; `kind` (a text) and `value` (a number) are SQL from `compose`."""
    foreign.execute(compose.insert_values("staged_values", {"kind": kind, "value": value}, PART))


def value_quantiles(foreign: Cursor, share: float) -> Mapping[str | None, tuple[float, float]]:
    """Find, for every event type, the value that a `share` of its values lies below, and the one it lies above."""
    found = foreign.rows(query("store/value_quantiles"), {"share": share})
    return {kind: (low, high) for kind, low, high in found}


def count_orphans(cursor: Cursor, first: int) -> int:
    """Count the events with a number from `first` on whose item nothing describes; 0 where there is no catalogue."""
    return int(cursor.row(query("store/count_orphans"), {"first": first})[0])
