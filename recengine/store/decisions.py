"""Decision records: what was shown to whom and why.

Comes in: decision frames, from the ledger's transaction. Goes out: rows of `decisions`, one record by its id, and
impressions: each item shown with its place and with what the user did about it; and what requests told, by the events
that answer them.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pyarrow as pa

from recengine.store.cursor import Cursor
from recengine.store.database import Database
from recengine.store.queries import query
from recengine.types import I64, Column, Decision
from recengine.types.frames import DecisionFrame

__all__ = ("Impression", "append_decisions", "count_decisions", "read_answered", "read_decision", "read_impressions")


class Impression(msgspec.Struct, frozen=True):
    """One item that was shown, and what its user did with it in answer to that reply."""

    request_id: str
    at: int
    user_id: str | None
    version: str
    item_id: str
    position: int
    """1 = first."""
    events: tuple[str, ...]
    """Types of the events that named this reply and this item, in order."""


def append_decisions(cursor: Cursor, frames: Sequence[DecisionFrame]) -> None:
    """Append records within the running transaction."""
    encode = msgspec.json.encode
    texts = pa.list_(pa.string())
    table = pa.table(
        {
            "request_id": pa.array([f.request_id for f in frames], pa.string()),
            "at": np.array([f.at for f in frames], dtype=np.int64),
            "user_id": pa.array([f.user_id for f in frames], pa.string()),
            "version": pa.array([f.version for f in frames], pa.string()),
            "cold": pa.array([f.cold for f in frames], pa.bool_()),
            "items": pa.array([f.items for f in frames], texts),
            "scores": pa.array([f.scores for f in frames], pa.list_(pa.float32())),
            "reasons": pa.array([f.reasons for f in frames], texts),
            "contributions": [encode(f.contributions).decode() for f in frames],
            "degraded": pa.array([f.degraded for f in frames], texts),
            "batch": np.array([f.batch for f in frames], dtype=np.int32),
            "times": [encode(f.times).decode() for f in frames],
            "seq": np.array([f.seq for f in frames], dtype=np.int64),
            "request": pa.array([f.request for f in frames], pa.string()),
            "same_as": pa.array([f.same_as for f in frames], pa.string()),
        }
    )
    with cursor.registered("decision_batch", table):
        cursor.execute(query("store/append_decisions"))


def read_decision(database: Database, request_id: str) -> Decision | None:
    """Look up the record of a reply; None = there is none. Cost: a scan of one column.

    A kept reply that was sent again has what was shown from the record that it refers to; without that record nothing
    is known of it.
    """
    if not request_id.isascii() and request_id.encode(errors="replace").decode() != request_id:
        return None  # no UTF-8, so no record has it
    rows = database.read().rows(query("store/read_decision"), {"request_id": request_id})
    if not rows:
        return None
    fields = dict(zip(Decision.__struct_fields__, rows[0], strict=True))
    if fields["request"] is None:  # the record that it refers to was lost, or forgotten
        return None
    fields["contributions"] = msgspec.json.decode(fields["contributions"])
    fields["times"] = msgspec.json.decode(fields["times"])
    return msgspec.convert(fields, Decision)


def count_decisions(database: Database, user_id: str) -> int:
    """Count the records of what a user was shown. Cost: a scan of one column."""
    return int(database.read().row(query("store/count_decisions_of"), {"name": user_id})[0])


def read_impressions(database: Database, request_id: str | None = None) -> list[Impression]:
    """List what was shown, in the order of time and place; of one reply, or all that is kept in full."""
    rows = database.read().rows(query("store/read_impressions"), {"request_id": request_id})
    return [Impression(a, b, c, d, e, f, tuple(g)) for a, b, c, d, e, f, g in rows]


def read_answered(database: Database, *, as_of: int | None = None) -> tuple[I64, Mapping[str, Column]]:
    """Read what the requests told whose replies events answer, and where the event's item stood in the reply.

    Parameters
    ----------
    as_of : of no event later than this; None = all.

    Returns
    -------
    seq : (k,) int64, ascending, of the events.
    told : of k values each: strings `device`, `location`, `referrer`, and the number `position`, 1 = first.

    Cost: a pass over the events that have any text beside them, and one over the decisions.
    """
    table = database.read().table(query("store/read_answered"), {"as_of": as_of})
    told = {}
    for name in ("device", "location", "referrer"):
        texts = table[name].to_pylist()
        labels = tuple(sorted({text for text in texts if text is not None}))
        place: dict[str | None, int] = {None: -1, **{label: code for code, label in enumerate(labels)}}
        told[name] = Column("string", np.array([place[text] for text in texts], np.int32), labels=labels)
    told["position"] = Column("number", table["position"].cast(pa.float64()).to_numpy())
    return np.ascontiguousarray(table["seq"].to_numpy(), np.int64), told
