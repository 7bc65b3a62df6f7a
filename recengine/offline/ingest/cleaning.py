"""What is put right in incoming events, and which of them are set aside as the work of a machine.

Part of the ingest stage, as `[cleaning]` says; only for events whose order is time (values are clipped in any).
Machines are looked for once all files are read: nearly always there are none, and then the search costs one count a
user. Where there are, the ingest begins anew and passes over what they did (`MachinesFound`), so that neither an id of
theirs nor a number stays behind. Why not before the files are read: grouping a million rows by user and minute takes a
quarter of the time of the whole ingest.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from recengine.offline.ingest.order import OrderPlan
from recengine.offline.ingest.roles import find_roles
from recengine.offline.ingest.write import Aside, Machines, Write
from recengine.store import compose
from recengine.store.files import PART, Part
from recengine.store.kinds import family
from recengine.store.origins import Origin
from recengine.store.screening import add_values, find_machines, machine_rows, stage_values, value_quantiles
from recengine.types import I32, I64

__all__ = (
    "MachinesFound",
    "UserCounts",
    "clipped",
    "clock_repairs",
    "machine_aside",
    "search_machines",
    "value_bounds",
)


class MachinesFound(Exception):
    """What was read holds the work of machines: read it again without."""

    def __init__(self, machines: Machines) -> None:
        super().__init__(f"{len(set(machines.users))} users are machines")
        self.machines = machines


class UserCounts:
    """Counts the events of each user, in one pass that a bincount makes; about 2 ns an event.

    Batches wait until they hold as many rows as there are users, so that no pass over the users is made for a few rows.
    """

    def __init__(self) -> None:
        self._waiting: list[I32] = []
        self._rows = 0
        self._counts: I64 = np.zeros(0, dtype=np.int64)

    def add(self, users: I32) -> None:
        """Count a batch of user rows."""
        self._waiting.append(users)
        self._rows += len(users)
        if self._rows > max(1 << 20, len(self._counts)):
            self._count()

    def above(self, most: int) -> I64:
        """List the users with more events than that."""
        self._count()
        return np.flatnonzero(self._counts > most)

    def _count(self) -> None:
        if self._rows:
            found = np.bincount(np.concatenate(self._waiting), minlength=len(self._counts))
            found[: len(self._counts)] += self._counts
            self._counts = found
            self._waiting, self._rows = [], 0


def search_machines(write: Write, counts: UserCounts, first: int) -> None:
    """Look for machines among the events with numbers from `first` on.

    Raises
    ------
    MachinesFound : there are some.
    """
    most = write.cleaning.bot_events
    if not most or write.machines is not None:
        return
    suspects = counts.above(most)
    if not len(suspects):
        return
    found = find_machines(write.cursor, suspects.tolist(), first=first, most=most, zone=write.cleaning.timezone)
    if found:
        raise MachinesFound(
            Machines(tuple(write.users.name(user) for user, _ in found), tuple(day for _, day in found))
        )


def machine_aside(write: Write, part: Part, roles: Mapping[str, str], order: OrderPlan | None) -> Aside:
    """List the rows of `part` that machines made, once they are known."""
    if write.machines is None or order is None or order.kind != "timestamp":
        return Aside.none()
    user = compose.id_text(roles["user"], family(part.columns[roles["user"]]))
    found = machine_rows(write.foreign.cursor, user, order.microseconds, write.machines, zone=write.cleaning.timezone)
    rows = np.asarray(found.to_numpy(), dtype=np.int64)
    reason = f"machine: the user has more than {write.cleaning.bot_events:,} events within a minute of that day"
    return Aside(rows, np.zeros(len(rows), dtype=np.int16), (reason,))


def clock_repairs(write: Write, part: Part, column: str) -> Counter[str]:
    """Count the moments of a column that name no zone, and those that the clocks of the zone skip or show twice."""
    zone, kind = write.cleaning.timezone, part.columns[column]
    naive = family(kind) == "text" or (family(kind) == "timestamp" and "WITH TIME ZONE" not in kind)
    if zone == "UTC" or not naive:
        return Counter()
    found = write.foreign.cursor.row(compose.clock_changes(column, kind, zone, PART))
    said = (
        f"{column} names no zone: read in {zone}",
        f"{column} is in an hour that the clocks of {zone} skip: put forward",
        f"{column} is in an hour that the clocks of {zone} show twice: the second is meant",
    )
    return Counter({what: rows for what, rows in zip(said, found, strict=True) if rows})


def value_bounds(write: Write, origins: list[Origin]) -> Mapping[str | None, tuple[float, float]]:
    """Find, for each event type (None = the only one), between what its values are clipped; empty = they are not.

    Cost: a pass over all files before they are read.
    """
    share, cursor = write.cleaning.clip_values, write.foreign.cursor
    if not share:
        return {}
    stage_values(cursor)
    for origin in origins:
        part = write.foreign.open(origin, text=lambda _: True)
        roles = find_roles("events", list(part.columns), write.columns, where=f"events {origin.label}", alone=True)
        if "value" not in roles:
            continue
        kind = f"CAST({compose.quoted(roles['type'])} AS VARCHAR)" if "type" in roles else "CAST(NULL AS VARCHAR)"
        value = compose.text_number(roles["value"], family(part.columns[roles["value"]]))
        add_values(cursor, kind, value)
    return value_quantiles(cursor, share)


def clipped(
    values: npt.NDArray[np.float32],
    types: npt.NDArray[np.integer],
    low: npt.NDArray[np.float32],
    high: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], int]:
    """Clip values (n,) to the bounds of their types (types,); returns them, and how many changed. NaN stays."""
    out = np.clip(values, low[types], high[types])
    return out, int(np.count_nonzero((out != values) & ~np.isnan(values)))
