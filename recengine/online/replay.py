"""From the store to the state: at the opening all frames there are, later those that an ingest added.

Both go through `State.apply`, so a restart sees what the running process saw.
"""

from recengine.config import EventType
from recengine.online.state import EventsFrame, HistoriesFrame, ItemsFrame, State, UsersFrame
from recengine.store.catalog import read_items, read_users
from recengine.store.database import Database
from recengine.store.events import read_events
from recengine.store.vocab import Vocabularies

__all__ = ("catch_up", "restore")

LARGE = 50_000
"""Events from which on a new base (1 us an event) is quicker than touching users one by one (10 us each)."""


def restore(database: Database, ids: Vocabularies, rules: tuple[EventType, ...]) -> State:
    """Make the state that serving starts from. Cost: about 1 us an event."""
    state = State(rules, read_items(database), read_users(database))
    _apply_all(state, database, ids)
    return state


def catch_up(state: State, database: Database, ids: Vocabularies) -> None:
    """Fold in what was stored since.

    The catalogues first, so that no event names an item that is not there. Users with late events are read anew, in
    the order of time, as a restart would read them; so is everybody after a large ingest, which is quicker.
    """
    state.apply(state.seq, ItemsFrame(read_items(database)))
    state.apply(state.seq, UsersFrame(read_users(database)))
    events = read_events(database, after=state.seq)
    if len(events.seq) > LARGE:
        _apply_all(state, database, ids)
        return
    late = state.apply(int(events.seq.max(initial=-1)), EventsFrame(events, len(ids.users), len(ids.items)))
    if len(late):
        state.apply(state.seq, HistoriesFrame(read_events(database, users=late)))


def _apply_all(state: State, database: Database, ids: Vocabularies) -> None:
    events = read_events(database)
    state.apply(int(events.seq.max(initial=-1)), EventsFrame(events, len(ids.users), len(ids.items), whole=True))
