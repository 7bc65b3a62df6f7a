"""Hold users out whole, to see what somebody gets of whom only attributes are known: the protocol `cold-users`.

In: a log, and files that describe its users and items. Out: a `Task` that learns from a share of the users and judges
by all that the others engaged with; those are known by their attributes alone, and have no history.

Why whole users: held-out events of known users measure taste that was learned; this measures the cold start.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from recengine.config import EventType, Storage
from recengine.errors import ConfigInvalid, EmptyData
from recengine.features.interaction import event_weights
from recengine.jobs.protocols import Task
from recengine.offline.ingest import ingest
from recengine.store.catalog import read_items, read_users
from recengine.store.database import FILE, Database
from recengine.store.events import read_events
from recengine.store.vocab import load_vocabularies

__all__ = ("cold_users",)


def cold_users(
    log: object,
    users: object | None,
    items: object | None,
    columns: Mapping[str, str],
    types: tuple[EventType, ...],
    *,
    share: float,
    seed: int,
) -> Task:
    """Read a log with its users and items, and hold out `share` of the users who engaged with anything.

    The files are read as `recengine ingest` reads them, in a directory that goes away.

    Raises
    ------
    ConfigInvalid : `share` is not between 0 and 1.
    SourceUnreadable, BadColumn : a file or a column cannot be read.
    EmptyData : too few users engaged with anything to hold some out.
    """
    if not 0 < share < 1:
        raise ConfigInvalid(f"share: expected 0 < share < 1, got {share}", hint="0.2 holds out every fifth user")
    with TemporaryDirectory(prefix="recengine-cold-") as folder, _opened(Path(folder)) as database:
        vocabularies = load_vocabularies(database)
        ingest(
            database, vocabularies, events=log, items=items, users=users, columns=columns, types=types,
            quarantine=Path(folder) / "quarantine",
        )  # fmt: skip
        events = read_events(database)
        described = read_users(database), read_items(database)
    engaged = np.unique(events.user[event_weights(events, types) > 0])
    count = int(np.rint(share * len(engaged)))
    if not 0 < count < len(engaged):
        raise EmptyData(f"log: {len(engaged)} users engaged with anything", hint="too few to hold some out")
    held = np.random.default_rng(seed).choice(engaged, count, replace=False)
    learned = ~np.isin(events.user, held)
    return Task(events, learned, True, described[0].n, described[1].n, types, described)


def _opened(folder: Path) -> Database:
    return Database.open(folder / FILE, Storage(), create=True)
