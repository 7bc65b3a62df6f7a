"""What was in force when: one ASOF join of probes with a timeline, made by DuckDB.

Floor 2, asked by the offline spine for everything that changes by versions: attributes of items and users, what queries
find, external tables. In: the probes of a training table, and a timeline. Out: positions in the timeline.

Why positions and not values: one join serves all columns of a group, of whatever type, and what comes back is 12 bytes
a probe; the columns are read once and taken by position.
"""

import numpy as np
import pyarrow as pa

from recengine.store.database import Database
from recengine.store.queries import query
from recengine.types import I32, I64

__all__ = ("in_force",)


def in_force(database: Database, rows: I32, begins: I64, probed: I32, moments: I64) -> I64:
    """Find the entry of a timeline that is in force for each of m probes.

    Parameters
    ----------
    rows, begins : (K,) int32 and int64, the timeline: from `begins` on an entry counts for its row; of one row
        and moment there is one entry.
    probed, moments : (m,) int32 and int64: who is asked for, and as of when.

    Returns
    -------
    (m,) int64 positions in the timeline; -1 = nothing is in force yet.

    Cost: about 0.3 us a probe and entry; DuckDB sorts both sides, and spills where memory ends.
    """
    out = np.full(len(probed), -1, np.int64)
    if len(rows) == 0 or len(probed) == 0:
        return out
    cursor = database.read()
    timeline = pa.table({"at": np.arange(len(rows)), "owner_row": rows, "begins": begins})
    probes = pa.table({"k": np.arange(len(probed)), "owner_row": probed, "moment": moments})
    with cursor.registered("asof_timeline", timeline), cursor.registered("asof_probes", probes):
        found = cursor.table(query("store/in_force"))
    out[found["k"].to_numpy()] = found["at"].to_numpy()
    return out
