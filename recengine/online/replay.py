"""From the store to the state: at the opening all there is, later what an ingest added or what came late.

All of it goes through `State.apply`, so a restart sees what the running process saw.
"""

from time import time_ns

import numpy as np

from recengine.config import Config, Serving
from recengine.online.frames import EventsFrame, HistoriesFrame, ItemsFrame, SessionsFrame, UsersFrame
from recengine.online.state import State
from recengine.store.catalog import read_items, read_users
from recengine.store.database import Database
from recengine.store.events import order_kind, read_events, read_session_events, span
from recengine.store.queries import query
from recengine.store.sequence import last_seq
from recengine.store.vocab import Vocabularies
from recengine.types import EventColumns

__all__ = ("catch_up", "mend", "restore")

LARGE = 50_000
"""Events from which on a new base (1 us an event) is quicker than touching users one by one (10 us each)."""


def restore(database: Database, ids: Vocabularies, config: Config) -> State:
    """Make the state that serving starts from, as of the store's last frame. Cost: about 1 us an event."""
    cursor = database.read()
    refused = frozenset((user, purpose) for user, purpose in cursor.rows(query("store/read_refusals")))
    state = State(config, ids, read_items(database), read_users(database), refused)
    _apply_all(state, last_seq(cursor), database)
    _apply_sessions(state, database, config.serving)
    return state


def catch_up(state: State, database: Database, serving: Serving) -> None:
    """Fold in what an ingest stored.

    The catalogues first, so that no event names an item that is not there. Users with late events are read anew, in
    the order of time, as a restart would read them; so is everybody after a large ingest, which is quicker.
    """
    state.apply(state.seq, ItemsFrame(read_items(database)))
    state.apply(state.seq, UsersFrame(read_users(database)))
    events = read_events(database, after=state.last_event)
    if len(events.seq) > LARGE:
        _apply_all(state, state.seq, database)
    else:
        state.apply(state.seq, _frame(state, database, events, whole=False))
        mend(state, database)
    _apply_sessions(state, database, serving)


def mend(state: State, database: Database) -> None:
    """Read users whose events came late anew, in the order of time; the store holds all that was folded."""
    if state.late:
        late = np.array(sorted(state.late), np.int32)
        state.apply(state.seq, HistoriesFrame(read_events(database, users=late)))


def _apply_all(state: State, seq: int, database: Database) -> None:
    state.apply(seq, _frame(state, database, read_events(database), whole=True))


def _frame(state: State, database: Database, events: EventColumns, *, whole: bool) -> EventsFrame:
    cursor = database.read()
    return EventsFrame(
        events,
        len(state.ids.users),
        len(state.ids.items),
        kind=order_kind(cursor),
        last_event=span(cursor).last_seq,
        whole=whole,
        now=_past(int(events.time.max(initial=0))),
    )


def _apply_sessions(state: State, database: Database, serving: Serving) -> None:
    since = _past(state.latest) - int(serving.session_minutes * 60e6)
    names, events = read_session_events(database, since=since, most=serving.sessions)
    state.apply(state.seq, SessionsFrame(names, events))


def _past(moment: int) -> int:
    """Return it, or now: one event from the future neither ends all visits nor ages all items."""
    return min(moment, time_ns() // 1000)
