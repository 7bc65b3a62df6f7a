"""The ways to cut events into what is learned from and what is held back: by time, by each user's last item, by chance.

Stands beside `build.py`, which cuts and makes parts of what it gets. In: events, their weights, and which of them are
to be cut. Out: a mask over all events, true for what lies before the cut.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np

from recengine.config import Config
from recengine.types import F32, MICROSECONDS_FROM, Bools, EventColumns

__all__ = ("Cut", "cut_of", "kind_of")

Cut: TypeAlias = Callable[[EventColumns, F32, int, Bools, float], Bools]
"""(events, weights float32, n_items, among which of the events, share to hold out) -> those before the cut."""


def kind_of(events: EventColumns, config: Config) -> str:
    """Name the cut: the configured one, or for `auto` by time or at random. There is at least one event.

    Integers that only sort, or the order of a file, may run user by user; a moment in such an order parts the users
    instead of their histories, and nobody could be judged by what he did before.
    """
    kind = config.training.split
    if kind != "auto":
        return kind
    if int(events.time.max()) >= MICROSECONDS_FROM:
        return "time"
    before = _cut_by_time(
        events, np.empty(0, np.float32), 0, np.ones(len(events.seq), np.bool_), config.training.test_share
    )
    later = np.unique(events.user[~before])
    known = np.isin(later, events.user[before]).sum()
    return "time" if 2 * known >= len(later) else "random"


def cut_of(kind: str, seed: int) -> Cut:
    """Return the cut that `kind`, as `kind_of` says it, stands for; `seed` is for the one by chance."""
    cuts: dict[str, Cut] = {"time": _cut_by_time, "leave_last": _cut_by_last}
    return cuts.get(kind, partial(_cut_by_chance, seed))


def _cut_by_chance(seed: int, events: EventColumns, _weights: F32, n_items: int, among: Bools, share: float) -> Bools:
    """Hold out `share` of each user's items, all events of a pair together; a user keeps at least one item."""
    rows = np.flatnonzero(among)
    pair, of_pair = np.unique(events.user[rows].astype(np.int64) * n_items + events.item[rows], return_inverse=True)
    user = pair // n_items
    dice = np.random.default_rng((seed, len(rows))).random(len(pair))
    order = np.lexsort((dice, user))
    first = np.flatnonzero(np.concatenate(([True], user[1:] != user[:-1])))
    counts = np.diff(np.append(first, len(user)))
    place = np.empty(len(pair), np.int64)
    place[order] = np.arange(len(pair)) - np.repeat(first, counts)  # each pair's place in a shuffle of its user's items
    kept = place < np.repeat(np.maximum(counts - np.round(share * counts), 1), counts)
    before = np.zeros(len(among), np.bool_)
    before[rows] = kept[of_pair]
    return before


def _cut_by_time(events: EventColumns, _weights: F32, _n_items: int, among: Bools, share: float) -> Bools:
    """Mark what lies before the moment after which `share` of the events lie.

    Events of one moment stay together, on the later side.
    """
    times = np.sort(events.time[among])
    if len(times) == 0:
        return among
    moment = times[min(len(times) - 1, int(np.ceil(len(times) * (1 - share))))]
    before: Bools = among & (events.time < moment)
    return before


def _cut_by_last(events: EventColumns, weights: F32, n_items: int, among: Bools, _share: float) -> Bools:
    """Mark what lies before each user's first event with the item that the user took up last.

    Users with fewer than two such items are not cut.
    """
    rows = np.flatnonzero(among & (weights > 0))
    pair = events.user[rows].astype(np.int64) * n_items + events.item[rows]
    _, first = np.unique(pair, return_index=True)  # rows are in (user, time) order: the first event of each pair
    taken_up = np.sort(rows[first])
    user = events.user[taken_up]
    last = np.flatnonzero(np.append(user[1:] != user[:-1], True)) if len(user) else np.empty(0, np.int64)
    several = last[np.diff(np.concatenate(([-1], last))) > 1]
    cut_at = np.full(int(events.user.max()) + 1, len(among), np.int64)
    cut_at[user[several]] = taken_up[several]
    return among & (np.arange(len(among)) < cut_at[events.user])
