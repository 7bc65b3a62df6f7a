"""What the tests of ingest share: a fresh store, and one call that ingests into it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recengine.config import Config, Storage
from recengine.offline.ingest import IngestReport, ingest
from recengine.store import directory
from recengine.store.database import FILE, Database
from recengine.store.events import read_events
from recengine.store.vocab import Vocabularies, load_vocabularies


class Shop:
    """A store in a temporary folder."""

    def __init__(self, database: Database, ids: Vocabularies) -> None:
        self.database = database
        self.ids = ids
        self.aside = database.path.parent / directory.QUARANTINE

    def ingest(self, **given) -> IngestReport:
        return ingest(self.database, self.ids, quarantine=self.aside, types=Config().event, **given)

    def events(self) -> list[tuple]:
        """List (user id, item id, type, value, time) in the order of arrival."""
        e = read_events(self.database)
        users, items = self.ids.users.ids(e.user), self.ids.items.ids(e.item)
        types = [e.types[code] for code in e.type]
        rows = sorted(zip(e.seq.tolist(), users, items, types, e.value.tolist(), e.time.tolist(), strict=True))
        return [row[1:] for row in rows]


@contextmanager
def opened(folder: Path) -> Iterator[Shop]:
    """Open the store in `folder`, made where there is none."""
    if not folder.exists():
        directory.create(folder)
    with Database.open(folder / FILE, Storage(threads=2)) as database:
        yield Shop(database, load_vocabularies(database))
