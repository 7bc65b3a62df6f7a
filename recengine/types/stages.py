"""What flows from stage to stage of the online spine: flat arrays for a batch of B requests.

Not tracked by the garbage collector: they hold arrays and are gone with their request, and none holds what holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from recengine.types.arrays import F32, I32, I64, U32, U64, Bools, Mask
from recengine.types.columns import Catalogue, Interactions
from recengine.types.doors import Request

__all__ = (
    "Context",
    "Evidence",
    "Features",
    "History",
    "Pool",
    "Query",
    "Ranked",
    "ScoreTable",
    "Slate",
    "TopN",
)


class Query(msgspec.Struct, frozen=True, gc=False):
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
    values: F32 | None = None
    """The ratings of the entries, NaN = none; None = there may be none."""


class Context(msgspec.Struct, frozen=True, gc=False):
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
    refused: tuple[bool, ...] = ()
    """By request: neither what it tells nor what its session did may be used."""


class Features(msgspec.Struct, frozen=True, gc=False):
    """What models and sources need to know of B requests.

    `favourites` int32 (B, C) category codes, dearest first, -1 = none; `attributes` what is known of the user of each
    cold row, by row.
    """

    query: Query
    favourites: I32
    attributes: Mapping[int, Mapping[str, Any]]


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """What a model says for one item, in rows: the online response turns it into a `Reason`."""

    kind: str
    """As `Reason.kind`."""
    item: int = -1
    """The row of the history item that speaks for it; -1 = none."""
    weight: float = 0.0
    """Its share of the score, in the score's unit."""


class TopN(msgspec.Struct, frozen=True, gc=False):
    """The n best of every row: `items` int32 (B, n), best first, -1 = none left; `scores` float32 (B, n), NaN there."""

    items: I32
    scores: F32


class Pool(msgspec.Struct, frozen=True, gc=False):
    """Candidates of B requests: ragged, items ascending and unique within a row.

    `sources` uint32, bit s set = found by `names[s]`.
    """

    indptr: I64
    items: I32
    sources: U32
    names: tuple[str, ...]


class ScoreTable(msgspec.Struct, frozen=True, gc=False):
    """The pool x models: `scores` float32 (N, M) raw, NaN = not scored.

    `lifts` float32 (N,): log-odds that the attributes of a cold row's user add to an item; None = no row is cold.
    """

    pool: Pool
    models: tuple[str, ...]
    scores: F32
    lifts: F32 | None


class Ranked(msgspec.Struct, frozen=True, gc=False):
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


class Slate(msgspec.Struct, frozen=True, gc=False):
    """What is shown, for B requests: `picks` int64 (B, n), flat positions in `ranked`, -1 = nothing left."""

    ranked: Ranked
    picks: I64
