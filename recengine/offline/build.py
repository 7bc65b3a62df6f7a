"""Second stage of the offline spine: events -> what is learned from, and what is held back to judge it.

In: the store as of a moment. Out: `Built`: three `TrainingData` (for choices, for the report, for serving), made by the
same `features/` as serving uses, and the held-out items of each user for the first two.

Why only new items are targets: the engine recommends what a user has not met yet, so an item that the user had met
before the cut is neither a hit nor a miss. Nothing later than a cut is read before it: each part is aggregated anew,
and gets the users and items as they were at its cut. Where events have no moments but an order of their own, no version
of an item can be placed among them, and every part gets the latest.
"""

from collections.abc import Callable
from typing import TypeAlias

import msgspec
import numpy as np

from recengine.config import Config, EventType
from recengine.errors import EmptyData
from recengine.features.interaction import HIDES, SEEN, event_bits, event_weights, interactions, ratings, seen
from recengine.offline.cuts import cut_of, kind_of
from recengine.store.catalog import read_items, read_users
from recengine.store.database import Database
from recengine.store.events import read_events, repeated_events
from recengine.types import (
    F32,
    I32,
    I64,
    MICROSECONDS_FROM,
    Bools,
    Catalogue,
    Column,
    EventColumns,
    Interactions,
    Mask,
    Query,
    TrainingData,
)

__all__ = (
    "ENOUGH_USERS",
    "BuildReport",
    "Built",
    "Part",
    "Rows",
    "eligible",
    "part",
    "query",
    "rows_of",
    "run",
    "split",
    "take",
    "where",
)


ENOUGH_USERS = 50
"""Fewer users cannot judge the live deployment: with 50 the interval of a mean is +- 0.28 standard deviations."""
NEVER = int(np.iinfo(np.int64).max)
Catalogues: TypeAlias = Callable[[int], tuple[Catalogue, Catalogue]]
"""(users, items) as they were at a moment, int64 microseconds."""


class Rows(msgspec.Struct, frozen=True):
    """Items of some users: row r is `items[indptr[r]:indptr[r + 1]]` of user `users[r]`; both ascending."""

    users: I32
    indptr: I64
    items: I32


class Part(msgspec.Struct, frozen=True):
    """One side to learn from and the other to judge by.

    `seen`: what each user had met by the cut in a way that hides an item: indptr int64 (n_users + 1,), items int32.
    `targets`: what users engaged with after the cut and had not met before; only users with such an item.
    `first_seq`, `first_time`: the lowest number and time of the held-out events; who has learned from such a one cannot
    be judged here. `last_seqs` int64 (n_users,): the number of each user's last event before the cut, -1 = none.
    """

    data: TrainingData
    seen: tuple[I64, I32]
    targets: Rows
    first_seq: int
    first_time: int
    last_seqs: I64


class BuildReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was read and how it was cut."""

    events: int
    users: int
    items: int
    first: int
    last: int
    engaged: int
    """(user, item) pairs with positive weight."""
    disliked: int
    """(user, item) pairs with negative weight."""
    split: str
    validation_users: int
    validation_targets: int
    test_users: int
    test_targets: int
    unlisted_types: tuple[str, ...] = ()
    """Event types that the configuration does not list: they count 1.0."""


class Built(msgspec.Struct, frozen=True):
    """All that training and validation need."""

    validation: Part
    """Learn from the oldest events, choose by the next ones."""
    test: Part
    """Learn from all but the latest events, report on those."""
    everything: TrainingData
    last_seq: int
    """All events up to this number were learned from."""
    report: BuildReport


def run(database: Database, config: Config, *, as_of: int | None = None, after: int | None = None) -> Built:
    """Read the store (as it was at `as_of`; None = now) and cut it; `after` as in `split`.

    Raises
    ------
    EmptyData : there are too few events to learn from and to judge by.
    """
    events = read_events(database)  # all of them in one read, to know what `as_of` leaves out
    repeated = repeated_events(database)
    if len(repeated):
        events = where(events, ~np.isin(events.seq, repeated))
    late = np.zeros(len(events.seq), np.bool_) if as_of is None else events.time > as_of
    first_late = int(events.seq[late].min()) if late.any() else NEVER
    moment = None if as_of is None or as_of < MICROSECONDS_FROM else as_of
    users, items = read_users(database, as_of=moment), read_items(database, as_of=moment)

    def catalogues(at: int) -> tuple[Catalogue, Catalogue]:
        return _first(read_users(database, as_of=at), users.n), _first(read_items(database, as_of=at), items.n)

    built = split(where(events, ~late), config, users, items, after=after, catalogues=catalogues)
    return msgspec.structs.replace(built, last_seq=min(built.last_seq, first_late - 1))


def split(
    events: EventColumns,
    config: Config,
    users: Catalogue,
    items: Catalogue,
    *,
    after: int | None = None,
    catalogues: Catalogues | None = None,
) -> Built:
    """Cut events twice: the latest share for the report, and of the rest the latest share for choices.

    With `training.split = "time"` both cuts are one moment for all users. With `leave_last` a user's newest item is the
    target of the report and the one before it that of choices; what is learned from ends right before.

    `after` is the time of the last event that the live deployment has learned from. Only what came later can judge it,
    so a time split holds out no more than that where it concerns `ENOUGH_USERS`; else `after` is passed over.

    `users` and `items` are the latest; the two parts get those of their cuts from `catalogues`, with as many rows,
    where the events have moments.

    Raises
    ------
    EmptyData : as in `run`.
    """
    if len(events.seq) == 0:
        raise EmptyData("the store holds no events", hint="ingest events first")
    weights = event_weights(events, config.event)
    if not (weights > 0).any():
        met = np.bincount(events.type, minlength=len(events.types))
        found = ", ".join(f"{name} {count:,}" for name, count in zip(events.types, met, strict=True) if count)
        raise EmptyData(
            f"none of the {len(events.seq):,} events counts as engagement; they are: {found}",
            hint=_disengaged(config, {name for name, count in zip(events.types, met, strict=True) if count}),
        )
    everyone = np.ones(len(events.seq), np.bool_)
    kind = kind_of(events, config)
    cut = cut_of(kind, config.training.seed)

    def cut_at(before: Bools, held_out: Bools) -> Part:
        moment = _last(events, before)
        known = (users, items) if catalogues is None or moment < MICROSECONDS_FROM else catalogues(moment)
        return part(events, weights, config.event, *known, before, held_out)

    before_test = cut(events, weights, items.n, everyone, config.training.test_share)
    test = cut_at(before_test, everyone & ~before_test)
    if kind == "time" and after is not None and (before_test < (known := events.time <= after)).any():
        fresh = cut_at(known, ~known)
        if len(fresh.targets.users) >= ENOUGH_USERS:
            before_test, test = known, fresh
    before_validation = cut(events, weights, items.n, before_test, config.training.validation_share)
    held_out = before_test & ~before_validation
    validation = cut_at(before_validation, held_out)
    everything = _data(events, weights, config.event, users, items, everyone)
    for name, side in (("validation", validation), ("test", test)):
        if len(side.targets.items) == 0 or len(side.data.interactions.items) == 0:
            raise EmptyData(
                f"the {name} part has {len(side.targets.items)} new items of users to judge by, "
                f"and {len(side.data.interactions.items)} interactions before them to learn from",
                hint="ingest more events" + (', or set training.split = "random"' if kind != "random" else ""),
            )
    listed = {t.type for t in config.event}
    return Built(
        validation,
        test,
        everything,
        int(events.seq.max()),
        BuildReport(
            events=len(events.seq),
            users=users.n,
            items=items.n,
            first=int(events.time.min()),
            last=int(events.time.max()),
            engaged=int((everything.interactions.weights > 0).sum()),
            disliked=int((everything.interactions.weights < 0).sum()),
            split=kind,
            validation_users=len(validation.targets.users),
            validation_targets=len(validation.targets.items),
            test_users=len(test.targets.users),
            test_targets=len(test.targets.items),
            unlisted_types=tuple(sorted(set(events.types) - listed)),
        ),
    )


def rows_of(user: I32, item: I32, n_items: int) -> Rows:
    """Gather (user, item) pairs, in any order and with repeats, into rows."""
    pairs = np.unique(user.astype(np.int64) * n_items + item)
    users, counts = np.unique(pairs // n_items, return_counts=True)
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Rows(users.astype(np.int32), indptr, (pairs % n_items).astype(np.int32))


def take(indptr: I64, rows: I32, limit: int | None = None) -> tuple[I64, I64]:
    """Say where the entries of `rows` lie, the last `limit` of each: (indptr of the new rows, flat positions)."""
    stop = indptr[rows + 1]
    start = indptr[rows] if limit is None else np.maximum(indptr[rows], stop - limit)
    lengths = stop - start
    out = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return out, np.arange(out[-1], dtype=np.int64) - np.repeat(out[:-1] - start, lengths)


def query(data: TrainingData, users: I32, *, limit: int, changed: Mask | None = None) -> Query:
    """Ask for `users` (int32 (B,)) with the histories that `data` knows, at the end of `data`."""
    old = data.interactions
    indptr, at = take(old.indptr, users, limit)
    values = None if old.values is None else old.values[at]
    history = Interactions(len(users), old.n_items, indptr, old.items[at], old.weights[at], old.times[at], values)
    return Query(users, history, np.zeros(len(users), np.uint8) if changed is None else changed, data.as_of)


def eligible(side: Part, users: I32) -> Mask:
    """Mark what may be recommended to `users`: (B, n_items), 1 = available and not yet met."""
    mask = np.repeat(side.data.items.available[None, :], len(users), axis=0)
    indptr, at = take(side.seen[0], users)
    mask[np.repeat(np.arange(len(users)), np.diff(indptr)), side.seen[1][at]] = 0
    return mask


def part(
    events: EventColumns,
    weights: F32,
    types: tuple[EventType, ...],
    users: Catalogue,
    items: Catalogue,
    before: Bools,
    after: Bools,
) -> Part:
    """Learn from the events in `before`, judge by those in `after`."""
    earlier = where(events, before)
    indptr, met, bits = seen(earlier, event_bits(earlier, types), users.n, items.n)
    hidden = (bits & np.uint64(SEEN | HIDES)) != 0
    pairs = (np.repeat(np.arange(users.n, dtype=np.int64), np.diff(indptr)) * items.n + met)[hidden]
    indptr = np.concatenate(([0], np.cumsum(hidden)))[indptr].astype(np.int64)

    later = interactions(where(events, after), weights[after], users.n, items.n)
    user = np.repeat(np.arange(users.n, dtype=np.int64), np.diff(later.indptr))
    pair = user * items.n + later.items
    new = (later.weights > 0) & ~np.isin(pair, pairs, assume_unique=True)
    targets = rows_of(user[new].astype(np.int32), later.items[new], items.n)
    first_seq, first_time = (int(c[after].min()) if after.any() else NEVER for c in (events.seq, events.time))
    last_seqs = np.full(users.n, -1, np.int64)
    np.maximum.at(last_seqs, events.user[before], events.seq[before])
    data = _data(events, weights, types, users, items, before)
    return Part(data, (indptr, met[hidden]), targets, first_seq, first_time, last_seqs)


def _data(
    events: EventColumns, weights: F32, types: tuple[EventType, ...], users: Catalogue, items: Catalogue, keep: Bools
) -> TrainingData:
    kept = where(events, keep)
    rows = interactions(kept, weights[keep], users.n, items.n, ratings(kept, types))
    return TrainingData(rows, items, users, _last(events, keep))


def _disengaged(config: Config, met: set[str]) -> str:
    """Say what to change where none of the types `met` counts as engagement."""
    positive = [event for event in config.event if event.type in met and event.weight > 0]
    below = [f"{event.type} {event.value_neutral:g}" for event in positive if event.value_neutral is not None]
    if not below:
        return "give a type `weight` above 0 in [[event]]"
    what = f"no value is above the `value_neutral` of its type ({', '.join(below)})"
    return f"{what}: in [[event]] set it below the values that mean liking"


def _last(events: EventColumns, keep: Bools) -> int:
    return int(events.time[keep].max()) if keep.any() else 0


def _first(catalogue: Catalogue, n: int) -> Catalogue:
    """Keep the first n rows: an ingest may have added some since the events were read."""
    if catalogue.n == n:
        return catalogue
    columns = {name: _head(column, n) for name, column in catalogue.columns.items()}
    return Catalogue(n, columns, catalogue.available[:n], catalogue.since[:n])


def _head(column: Column, n: int) -> Column:
    if column.indptr is None:
        return msgspec.structs.replace(column, data=column.data[:n])
    return msgspec.structs.replace(column, data=column.data[: column.indptr[n]], indptr=column.indptr[: n + 1])


def where(events: EventColumns, keep: Bools) -> EventColumns:
    """Take the events that `keep` marks; they stay in their order."""
    return EventColumns(
        events.seq[keep],
        events.user[keep],
        events.item[keep],
        events.type[keep],
        events.value[keep],
        events.time[keep],
        events.types,
    )
