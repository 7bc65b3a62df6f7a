"""From the store to the state: at the opening all frames there are, later those that an ingest added.

Both go through `State.apply`, so a restart sees what the running process saw.
"""

from recengine.config import EventType
from recengine.online.state import EventsFrame, ItemsFrame, State, UsersFrame
from recengine.store.catalog import read_items, read_users
from recengine.store.database import Database
from recengine.store.events import read_events
from recengine.store.vocab import Vocabularies

__all__ = ("catch_up", "restore")


def restore(database: Database, ids: Vocabularies, rules: tuple[EventType, ...]) -> State:
    """Make the state that serving starts from. Cost: about 1 us an event."""
    state = State(rules, read_items(database), read_users(database))
    _apply_events(state, database, ids)
    return state


def catch_up(state: State, database: Database, ids: Vocabularies) -> None:
    """Fold in what was stored since; the catalogues first, so that no event names an item that is not there."""
    state.apply(state.seq, ItemsFrame(read_items(database)))
    state.apply(state.seq, UsersFrame(read_users(database)))
    _apply_events(state, database, ids)


def _apply_events(state: State, database: Database, ids: Vocabularies) -> None:
    events = read_events(database, after=state.seq)
    state.apply(int(events.seq.max(initial=-1)), EventsFrame(events, len(ids.users), len(ids.items)))
