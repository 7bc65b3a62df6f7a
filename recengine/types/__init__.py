"""The data that flows along the two spines: no behaviour, only shapes.

Ids: `user_id` / `item_id` (str) at the doors; `user` / `item` (dense int32 row) inside; `store/vocab.py` is the only
bridge. Time: int64 microseconds since 1970-01-01 UTC, `NO_TIME` where it is not known. Scores: float32, NaN = not
scored, higher = better. Ragged arrays: row r of a batch owns `flat[indptr[r]:indptr[r + 1]]` (int64 indptr of length B
+ 1, as in CSR).

Why batches: every stage of the online spine takes B requests at once and `recommend` is a batch of one, so "batch =
single" holds by construction and `recommend_batch` amortises Python over thousands of users.
"""

from recengine.types.arrays import (
    F32,
    F64,
    I16,
    I32,
    I64,
    MICROSECONDS_FROM,
    NO_TIME,
    U32,
    U64,
    Bools,
    Mask,
)
from recengine.types.columns import (
    Catalogue,
    Column,
    EventColumns,
    Interactions,
    TrainingData,
)
from recengine.types.doors import (
    Decision,
    Event,
    Explanation,
    Item,
    Reason,
    Receipt,
    Recommendation,
    Request,
    Response,
    SessionEvent,
    User,
)
from recengine.types.stages import (
    Context,
    Evidence,
    Features,
    History,
    Pool,
    Query,
    Ranked,
    ScoreTable,
    Slate,
    TopN,
)

__all__ = (
    "F32",
    "F64",
    "I16",
    "I32",
    "I64",
    "MICROSECONDS_FROM",
    "NO_TIME",
    "U32",
    "U64",
    "Bools",
    "Catalogue",
    "Column",
    "Context",
    "Decision",
    "Event",
    "EventColumns",
    "Evidence",
    "Explanation",
    "Features",
    "History",
    "Interactions",
    "Item",
    "Mask",
    "Pool",
    "Query",
    "Ranked",
    "Reason",
    "Receipt",
    "Recommendation",
    "Request",
    "Response",
    "ScoreTable",
    "SessionEvent",
    "Slate",
    "TopN",
    "TrainingData",
    "User",
)
