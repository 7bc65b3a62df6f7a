"""The data that flows along the two spines: no behaviour, only shapes.

Ids: `user_id` / `item_id` (str) at the doors; `user` / `item` (dense int32 row) inside; `store/vocab.py` is the only
bridge. Time: int64 microseconds since 1970-01-01 UTC, `NO_TIME` where it is not known. Scores: float32, NaN = not
scored, higher = better. Ragged arrays: row r of a batch owns `flat[indptr[r]:indptr[r + 1]]` (int64 indptr of length B
+ 1, as in CSR).

Why batches: every stage of the online spine takes B requests at once and `recommend` is a batch of one, so "batch =
single" holds by construction and `recommend_batch` amortises Python over thousands of users.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

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
    "Recommendation",
    "Request",
    "Response",
    "ScoreTable",
    "Slate",
    "TopN",
    "TrainingData",
    "User",
)

F32: TypeAlias = npt.NDArray[np.float32]
F64: TypeAlias = npt.NDArray[np.float64]
I16: TypeAlias = npt.NDArray[np.int16]
I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Mask: TypeAlias = npt.NDArray[np.uint8]
"""1 = may be picked, 0 = may not; (n_items,) or (B, n_items)."""

NO_TIME = int(np.iinfo(np.int64).min)
"""A moment that is not known."""
MICROSECONDS_FROM = 10**14
"""An order that reaches this is a time in microseconds (1973-03-03); milliseconds of today stay 50 times below it."""


# ---------------------------------------------------------------------------------------------------- at the doors


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One thing that a user did with an item."""

    user_id: str
    item_id: str
    type: str = "interaction"
    value: float | None = None
    """An explicit rating or an amount; what it means is said by the event type's configuration."""
    order: Any = None
    """A datetime, or an integer that sorts; None = in the order of arrival."""
    event_id: str | None = None
    """Makes a repeated delivery count once."""
    session_id: str | None = None
    request_id: str | None = None
    """The reply in which the item was shown."""


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One version of an item."""

    item_id: str
    attributes: dict[str, Any] = {}
    available: bool = True
    valid_from: Any = None
    """A datetime; None = since ever for a first version, now for a later one."""


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One version of a user."""

    user_id: str
    attributes: dict[str, Any] = {}
    valid_from: Any = None


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A wish for recommendations."""

    user_id: str | None = None
    """None or unknown = an anonymous, cold user."""
    n: int = 10
    filter: str | None = None
    """An expression over item attributes, such as `price < 50 and category in ["shoes", "bags"]`."""
    exclude_seen: bool | tuple[str, ...] = True
    """True: the types that the configuration marks; False: none; or the event types that hide an item."""
    categories_any: tuple[str, ...] = ()
    categories_all: tuple[str, ...] = ()
    categories_none: tuple[str, ...] = ()
    allow: tuple[str, ...] | None = None
    """Item ids that alone may be shown."""
    deny: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    """Item ids to show first, in this order, where they are eligible."""
    caps: dict[str, int] = {}
    """At most so many items with the same value of this attribute, such as `{"brand": 2}`."""
    context: dict[str, Any] = {}
    diversity: float | None = None
    """0 = relevance only .. 1 = variety only; None = as configured (1 - lambda of MMR)."""
    deadline_ms: float | None = None
    explain: bool = False
    """Add what each model contributed, and reasons in words."""


class Reason(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Why an item stands there."""

    kind: str
    """because_of | similar_users | popular | trending | latest | demographic | cold_start | pinned | model"""
    text: str = ""
    item_id: str | None = None
    """The item of the user's history that speaks for it."""
    weight: float = 0.0


class Recommendation(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One line of a reply. Not tracked by the garbage collector: it cannot be part of a cycle, and there are many."""

    item_id: str
    score: float
    """P(engaged) 0..1 in a reply; a similarity or a popularity in the lists that are not for one user."""
    reason: str = ""
    """The kind of the leading reason."""
    reasons: tuple[Reason, ...] = ()
    contributions: dict[str, float] = {}
    """Log-odds that each model added; they sum to the log-odds of `score`."""


class Response(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A reply."""

    request_id: str
    user_id: str | None
    items: tuple[Recommendation, ...]
    version: str
    """The deployment that answered."""
    cold: bool = False
    degraded: tuple[str, ...] = ()
    """What could not be done as planned, such as `model:als:deadline`."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why one item would, or would not, be shown to one user."""

    user_id: str | None
    item_id: str
    eligible: bool
    excluded_by: tuple[str, ...] = ()
    """unavailable | blocked | seen | filter | categories | allow | deny"""
    score: float = 0.0
    """Blended P(engaged), 0..1."""
    contributions: dict[str, float] = {}
    """Log-odds that each model added; they sum to the log-odds of `score`."""
    reasons: tuple[Reason, ...] = ()
    version: str = ""


# ---------------------------------------------------------------------------------------------------- columns


class EventColumns(msgspec.Struct, frozen=True):
    """Events as columns, ordered by (user, time, seq).

    All arrays have length n: `seq` int64 (the store's own number), `user` and `item` int32 rows, `type` int16 into
    `types`, `value` float32 (NaN = none), `time` int64 (the order: microseconds, or the integers that the feed gave).
    """

    seq: I64
    user: I32
    item: I32
    type: I16
    value: F32
    time: I64
    types: tuple[str, ...]


class Column(msgspec.Struct, frozen=True):
    """One attribute of all items or users.

    kind       data                                                  missing
    bool       uint8 (n,)                                            2
    number     float64 (n,)                                          NaN
    string     int32 (n,) codes into `labels`                        -1
    strings    int32 flat codes into `labels`, with `indptr` (n + 1) an empty row
    timestamp  int64 (n,) microseconds                               NO_TIME
    text       object (n,) of str                                    None
    vector     float32 (n, d)                                        a row of NaN
    """

    kind: Literal["bool", "number", "string", "strings", "timestamp", "text", "vector"]
    data: npt.NDArray[Any]
    labels: tuple[str, ...] = ()
    indptr: I64 | None = None


class Catalogue(msgspec.Struct, frozen=True):
    """What is known of all items (or all users) at one moment."""

    n: int
    columns: Mapping[str, Column]
    available: Mask
    """(n,) uint8; all ones for users."""
    since: I64
    """(n,) `valid_from` of the first version; NO_TIME where never described."""


class Interactions(msgspec.Struct, frozen=True):
    """Who engaged with what: one row a user, one entry a (user, item), oldest first.

    `indptr` int64 (n_users + 1,), `items` int32 (nnz,) unique within a row and ordered by the time of the last event,
    `weights` float32 (nnz,): > 0 engaged, < 0 negative evidence (a dislike); `times` int64 (nnz,) of the last event.
    Made in one place for training and serving: `features/interaction.py`.
    """

    n_users: int
    n_items: int
    indptr: I64
    items: I32
    weights: F32
    times: I64


class TrainingData(msgspec.Struct, frozen=True):
    """All that an algorithm may learn from, as of one moment."""

    interactions: Interactions
    items: Catalogue
    users: Catalogue
    as_of: int
    """Nothing in here is later than this; int64 microseconds (or the feed's own order)."""


# ---------------------------------------------------------------------------------------------------- the online spine


class Query(msgspec.Struct, frozen=True):
    """Who asks, for B requests, in the words of the models.

    `users` int32 (B,), -1 = never seen. `history`: row b is what request b's user engaged with (n_users = B), oldest
    first, at most `history_limit` latest entries. `changed` uint8 (B,): 1 = the history is newer than the deployment,
    so factors must be folded in.
    """

    users: I32
    history: Interactions
    changed: Mask
    now: int
    prepared: dict[int, Any] = {}
    """What a model worked out for this query (vectors, neighbours), by `id` of the model: `recommend`, `score` and
    `explain` of one request need it in turn. The one thing in here that is written after it was made."""


class History(NamedTuple):
    """What one user did; the arrays are read-only by convention."""

    items: I32
    """Entries as models see them, oldest first, with `weights` and `times`."""
    weights: F32
    times: I64
    touched: I32
    """Items that any event touched, ascending, with the `bits` of `features.interaction`."""
    bits: U64
    last_seq: int
    """Of the user's last event; -1 = none."""


class Context(msgspec.Struct, frozen=True):
    """Who asks, when, and against which catalogue, for B requests.

    `users` int32 (B,), -1 = never seen; `cold` bool (B,); `items` is one snapshot for the whole batch, so a reply
    never mixes two.
    """

    requests: tuple[Request, ...]
    users: I32
    histories: tuple[History, ...]
    cold: Bools
    now: int
    items: Catalogue
    threads: int
    """Of the kernels: 1 for one request, all cores for a batch."""


class Features(msgspec.Struct, frozen=True):
    """What models and sources need to know of B requests.

    `favourites` int32 (B, C) category codes, dearest first, -1 = none; `attributes` what is known of the user of each
    cold row, by row.
    """

    query: Query
    favourites: I32
    attributes: Mapping[int, Mapping[str, Any]]


class Evidence(msgspec.Struct, frozen=True):
    """What a model says for one item, in rows: the online response turns it into a `Reason`."""

    kind: str
    """As `Reason.kind`."""
    item: int = -1
    """The row of the history item that speaks for it; -1 = none."""
    weight: float = 0.0
    """Its share of the score, in the score's unit."""


class TopN(msgspec.Struct, frozen=True):
    """The n best of every row: `items` int32 (B, n), best first, -1 = none left; `scores` float32 (B, n), NaN there."""

    items: I32
    scores: F32


class Pool(msgspec.Struct, frozen=True):
    """Candidates of B requests: ragged, items ascending and unique within a row.

    `sources` uint32, bit s set = found by `names[s]`.
    """

    indptr: I64
    items: I32
    sources: U32
    names: tuple[str, ...]


class ScoreTable(msgspec.Struct, frozen=True):
    """The pool x models: `scores` float32 (N, M) raw, NaN = not scored.

    `lifts` float32 (N,): log-odds that the attributes of a cold row's user add to an item; None = no row is cold.
    """

    pool: Pool
    models: tuple[str, ...]
    scores: F32
    lifts: F32 | None


class Ranked(msgspec.Struct, frozen=True):
    """A shortlist of every row, best first.

    `scores` float32 (N,) blended log-odds, `contributions` float32 (N, M) that sum to the score, `sources` uint32
    (N,) bits into `names`, `pinned` int32 (B,): so many leading items of the row keep their place.
    """

    indptr: I64
    items: I32
    scores: F32
    contributions: F32
    sources: U32
    models: tuple[str, ...]
    names: tuple[str, ...]
    pinned: I32


class Slate(msgspec.Struct, frozen=True):
    """What is shown, for B requests: `picks` int64 (B, n), flat positions in `ranked`, -1 = nothing left."""

    ranked: Ranked
    picks: I64
