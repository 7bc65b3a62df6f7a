"""Online state: a fold over typed frames.

`apply(seq, frame)` is its only mutator, for the first load, for what is learned live, after a restart and in a replay.

Two kinds of frames (`frames.py`): those that the store gives (columns of any size, for the opening and after an ingest)
and `Group`, some frames of the journal, which carry ids as text. Folding a group gives ids their rows and events their
numbers, in the order of the journal, so that every fold of the same frames comes to the same; what a group came to
(`Folded`) is what the store has yet to write.

What requests read - histories, the two catalogues, vocabularies, consents - lives here and nowhere else; factors and
neighbours live in the deployment.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from threading import Lock
from typing import Any
from weakref import WeakSet

import numpy as np

from recengine.config import Config, EventType
from recengine.features.state import EventState
from recengine.online.catalogues import revised, unlabelled
from recengine.online.counters import Counters
from recengine.online.frames import (
    EventsFrame,
    Group,
    HistoriesFrame,
    ItemsFrame,
    SessionsFrame,
    StateFrame,
    UsersFrame,
)
from recengine.online.histories import Histories, together
from recengine.online.sessions import Sessions
from recengine.store.events import OrderKind
from recengine.store.homes import Forgotten, Home, home
from recengine.store.ledger import Consents, Decided, Folded, Ingested, NewEvents, NewVersions, Part
from recengine.store.vocab import FORGOTTEN, Vocabularies
from recengine.types import MICROSECONDS_FROM, Catalogue, EventColumns, TrainingData
from recengine.types.frames import (
    ConsentFrame,
    DecisionFrame,
    EraseFrame,
    EventFrame,
    Frame,
    IngestFrame,
    ItemFrame,
    UserFrame,
)

__all__ = ("State", "kind_of")


def kind_of(time: int | None) -> OrderKind:
    """Tell what the order of the first event means: moments, unless it says an integer too small for one."""
    return "timestamp" if time is None or time >= MICROSECONDS_FROM else "integer"


@home
class State:
    """Everything that serving knows and training does not have to be run for.

    Parameters
    ----------
    config : what event types mean, how many visits are held and for how long, what features count.
    ids : the vocabularies; the fold is their only writer while no ingest runs.
    items, users : the two catalogues.
    refused : (user, purpose) that are not allowed.
    """

    def __init__(
        self,
        config: Config,
        ids: Vocabularies,
        items: Catalogue,
        users: Catalogue,
        refused: frozenset[tuple[int, str]],
    ) -> None:
        rules = config.event
        self._config = config
        self._lock = Lock()
        rows, places = np.empty(0, np.int32), np.empty(0, np.int64)
        nothing = EventColumns(places, rows, rows, rows.astype(np.int16), rows.astype(np.float32), places, ())
        self.ids = ids
        self.histories = Histories(rules, nothing, 0, 0)
        self.counters = Counters(rules)
        """How much everybody does with each item."""
        self.sessions = Sessions(rules, config.serving, config.features.history)
        """What happened in the latest visits."""
        self.counted = EventState(config) if config.features.enabled else None
        """What features count from events; None where there are to be none."""
        self.items = items
        self.users = users
        self.types: tuple[str, ...] = ()
        """Event types by code, as the store numbers them."""
        self.seq = -1
        """Of the last frame of the journal that was folded in."""
        self.last_event = -1
        """The number of the last event."""
        self.latest = 0
        """The last moment, or order, of any event."""
        self.kind: OrderKind | None = None
        """What the order of events means here; None before the first."""
        self.configured = frozenset(rule.type for rule in rules)
        """The event types that the configuration lists."""
        self.refused = refused
        """(user, purpose) that are not allowed."""
        self.late: set[int] = set()
        """Users with events that came late: their entries stand in the order of arrival until they are read anew."""
        self.watching: WeakSet[Home] = WeakSet()
        """What keeps something of users beside the fold, such as what a deployment computed of them."""
        self._undescribed = object()
        self._described: dict[int, object] = {}
        """A new object for each version of a user since the users were read."""

    def apply(self, seq: int, frame: StateFrame) -> Folded:
        """Fold one frame in; frames come in the order of `seq`, that of the last frame of the journal in it.

        Returns what the store has yet to write: something only for a `Group`.
        """
        with self._lock:
            match frame:
                case EventsFrame(whole=True):
                    self._note(frame)
                    self.histories = Histories(self._config.event, frame.events, frame.n_users, frame.n_items)
                    self.counters.restart(frame.events, frame.last_event)
                    if self.counted is not None:
                        rows = frame.n_users, frame.n_items
                        self.counted = EventState.of(self._config, frame.events, *rows, now=frame.now)
                case EventsFrame():
                    self._note(frame)
                    self.late.update(self.histories.apply(frame.events).tolist())
                    self.counters.apply(frame.events)
                    if self.counted is not None:
                        self.counted.apply(frame.events, now=frame.now)
                case HistoriesFrame():
                    self.histories.replace(frame.events)
                    self.late.difference_update(frame.events.user.tolist())
                case SessionsFrame():
                    sessions = Sessions(self._config.event, self._config.serving, self._config.features.history)
                    sessions.apply(frame.names, frame.events)
                    self.sessions = sessions  # whole, for whoever reads meanwhile
                case ItemsFrame():
                    self.items = frame.items
                case UsersFrame():
                    self.users = frame.users
                    self._described, self._undescribed = {}, object()
                case Group():
                    parts = [part for run in self._runs(frame.frames) for part in run]
                    self.seq = max(self.seq, seq)
                    return Folded(seq, tuple(parts))
            self.seq = max(self.seq, seq)
        return Folded(seq, ())

    @property
    def rules(self) -> tuple[EventType, ...]:
        """What event types mean."""
        return self._config.event

    @property
    def items(self) -> Catalogue:
        """The catalogue. Setting it makes its token new, so that no change can be forgotten; so does `refused`."""
        return self._catalogue

    @items.setter
    def items(self, items: Catalogue) -> None:
        """Take another catalogue."""
        self._catalogue = items
        self._listed = object()  # after it: who has this token sees these items

    @property
    def refused(self) -> frozenset[tuple[int, str]]:
        """(user, purpose) that are not allowed."""
        return self._refused

    @refused.setter
    def refused(self, refused: frozenset[tuple[int, str]]) -> None:
        """Take other refusals."""
        self._refused = refused
        self._consented = object()

    def known(self) -> tuple[TrainingData, int]:
        """Return all that models may learn from now, and the number of the last event in it.

        As training reads it from the store, except that an event that was delivered again after the door had forgotten
        the first counts twice, and that late ones are in their place only once the follower has put them there.
        Cost: about 60 ns an entry; the fold waits for a small part of it.
        """
        with self._lock:
            held, items, users = self.histories.held(), self.items, self.users
            n_users, last_event, latest = len(self.ids.users), self.last_event, self.latest
        users = revised(users, (), (), max(n_users, users.n))
        return TrainingData(together(held, users.n, items.n), items, users, latest), last_event

    def stamp(self, user: int) -> tuple[object, ...]:
        """Return tokens of what a reply to `user` (-1 = unknown) rests on: the same ones as long as nothing changed.

        Tokens, not the things themselves: whoever keeps a stamp would keep a whole catalogue alive with it.
        """
        return (self.histories.token(user), self._listed, self._consented, self.description(user))

    def description(self, user: int) -> object:
        """Return a token of what is known of a user: the same one as long as nothing else is said."""
        return self._described.get(user, self._undescribed)

    def forget(self, who: Forgotten) -> None:
        """Keep nothing of a user; the fold calls it for an `EraseFrame`."""
        user = who.user
        self.histories.forget(who)
        self.sessions.forget(who)
        self.counters.forget(who)
        if self.counted is not None:
            self.counted.forget(who)
        self.ids.users.unname(user)
        if user < self.users.n:
            blank = UserFrame(FORGOTTEN, {}, None, merge=False)
            self.users = unlabelled(revised(self.users, np.array([user], np.int32), (blank,), self.users.n))
        self._described[user] = object()
        for one in tuple(self.watching):
            one.forget(who)
        self.refused = frozenset(pair for pair in self.refused if pair[0] != user)
        self.late.discard(user)

    # ------------------------------------------------------------------------------------------------ inside

    def _note(self, frame: EventsFrame) -> None:
        events = frame.events
        self.kind = frame.kind
        self.types = events.types
        self.last_event = max(self.last_event, frame.last_event)
        self.latest = max(self.latest, int(events.time.max(initial=0)))

    def _runs(self, frames: Sequence[Frame]) -> Iterator[Sequence[Part]]:
        for kind, run in groupby(frames, type):
            same: Any = list(run)
            if kind is EventFrame:
                yield (self._events(same),)
            elif kind is DecisionFrame:
                yield (Decided(same),)
            elif kind is ItemFrame:
                yield (self._items(same),)
            elif kind is UserFrame:
                yield (self._users(same),)
            elif kind is ConsentFrame:
                yield (self._consents(same),)
            elif kind is IngestFrame:
                yield [Ingested(frame.ingests) for frame in same]
            elif kind is EraseFrame:
                yield [part for frame in same for part in self._erase(frame)]

    def _events(self, frames: Sequence[EventFrame]) -> NewEvents:
        ids, n = self.ids, len(frames)
        user = np.array(ids.users.admit([f.user_id for f in frames]), np.int32)
        item = np.array(ids.items.admit([f.item_id for f in frames]), np.int32)
        code = np.array(ids.types.admit([f.type for f in frames]), np.int16)
        value = np.array([np.nan if f.value is None else f.value for f in frames], np.float32)
        seq = np.arange(self.last_event + 1, self.last_event + 1 + n, dtype=np.int64)
        if self.kind is None:  # the first event decides
            self.kind = kind_of(frames[0].time)
        time = np.array([self._moment(f) for f in frames], np.int64)
        if len(ids.types) > len(self.types):
            self.types = (*self.types, *ids.types.since(len(self.types)))
        if len(ids.items) > self.items.n:  # an item that only an event names: nothing is known of it
            self.items = revised(self.items, (), (), len(ids.items))
        self.last_event += n
        order = np.lexsort((seq, time, user)) if n > 1 else slice(None)
        ordered = EventColumns(seq[order], user[order], item[order], code[order], value[order], time[order], self.types)
        self.late.update(self.histories.apply(ordered).tolist())
        self.counters.apply(ordered)
        if self.counted is not None:
            self.counted.apply(ordered, now=frames[-1].at)
        texts = [(f.event_id, f.session_id, f.request_id) for f in frames]
        if any(f.session_id is not None for f in frames):
            self.sessions.apply(
                [f.session_id for f in frames], EventColumns(seq, user, item, code, value, time, self.types)
            )
        return NewEvents(seq, user, item, code, value, time, self.kind, texts)

    def _moment(self, frame: EventFrame) -> int:
        """Say when an event was; what comes without a moment comes after all there is, or now."""
        moment = frame.time
        if moment is None:
            moment = frame.at if self.kind == "timestamp" else self.latest + 1
        self.latest = max(self.latest, moment)
        return moment

    def _items(self, frames: Sequence[ItemFrame]) -> NewVersions:
        rows = np.array(self.ids.items.admit([f.item_id for f in frames]), np.int32)
        self.items = revised(self.items, rows, frames, len(self.ids.items))
        return NewVersions("item", rows, frames)

    def _users(self, frames: Sequence[UserFrame]) -> NewVersions:
        rows = np.array(self.ids.users.admit([f.user_id for f in frames]), np.int32)
        self.users = revised(self.users, rows, frames, len(self.ids.users))
        for row in rows.tolist():
            self._described[row] = object()
        return NewVersions("user", rows, frames)

    def _consents(self, frames: Sequence[ConsentFrame]) -> Consents:
        rows = self.ids.users.admit([f.user_id for f in frames])
        refused = set(self.refused)
        for row, frame in zip(rows, frames, strict=True):
            (refused.discard if frame.granted else refused.add)((row, frame.purpose))
        self.refused = frozenset(refused)
        return Consents(rows, frames)

    def _erase(self, frame: EraseFrame) -> Sequence[Forgotten]:
        row = self.ids.users.row(frame.user_id)
        if row < 0:  # there may be records of what was shown under that name
            return (Forgotten(row, frame.user_id),)
        who = Forgotten(row, frame.user_id, self.sessions.of(row))
        self.forget(who)
        return (who,)
