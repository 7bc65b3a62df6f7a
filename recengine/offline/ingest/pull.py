"""Pull a `[[source]]`: fetch what is new from a database or files, then ingest it as if it had been handed in.

Stands before the ingest stage. In: the source as configured, and what the store remembers of its last pulls. Out: an
`IngestReport`. The rows are fetched before the store is asked to hold still, so that a slow server holds up nobody; the
mark moves in the transaction that stores them. A pull that fails anywhere changes nothing but the record that it
failed, and the next one begins where the last good one ended.
"""

import re
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from recengine.config import Cleaning, Source
from recengine.errors import ConfigInvalid, RecEngineError
from recengine.offline.ingest import IngestReport, ingest
from recengine.offline.ingest.external import External
from recengine.offline.ingest.write import Progress, SourceReport
from recengine.store import compose
from recengine.store.cursor import Cursor
from recengine.store.database import Database
from recengine.store.files import Foreign
from recengine.store.origins import Origin, origins
from recengine.store.pulls import Pulls, pulls, record_failed, record_pulled
from recengine.store.remote import POSTGRES, SQLITE, Remote
from recengine.store.vocab import Vocabularies

__all__ = ("Fetch", "pull")

_FILLED = re.compile(r"\$\{([A-Za-z_]\w*)\}")


class Fetch:
    """One pull under way; `cancel` ends it from another thread while it waits for a foreign server.

    Parameters
    ----------
    source : as configured.
    folder : the data directory, which relative paths start from.
    environment : what `${NAME}` in the uri stands for.

    Raises
    ------
    ConfigInvalid : a name is not there.
    """

    def __init__(self, source: Source, *, folder: Path, environment: Mapping[str, str]) -> None:
        self.source = source
        self.folder = folder
        self._environment = environment
        self._remote: Remote | None = None
        self._ended = False

    @property
    def about(self) -> str:
        """A digest of what is pulled: where it changes, the mark of before is of something else. Not the address."""
        said = (self.source.into, self.source.table, self.source.query, self.source.watermark, self.source.columns)
        return blake2b(msgspec.json.encode(said, order="deterministic"), digest_size=12).hexdigest()

    def cancel(self) -> None:
        """End the pull: it raises SourceUnreadable where it waits, and stores nothing."""
        self._ended = True
        remote = self._remote
        if remote is not None:
            remote.cancel()

    def land(self, foreign: Foreign, mark: str | None, tell: Callable[[int], None]) -> tuple[list[Origin], str | None]:
        """Fetch what is new into `foreign`; returns how to read it, and the mark that it reaches.

        Raises
        ------
        SourceUnreadable, BadColumn, ConfigInvalid : as `Remote`, or files that are not there.
        """
        source, uri = self.source, self.uri()
        where = f"source {source.name}"
        if not uri.startswith((*POSTGRES, SQLITE)):
            if "://" in uri:
                return [foreign.over_network(uri, where)], None
            return origins(str(self.folder / uri), where=where), None
        ask = compose.remote_table(source.table) if source.table else compose.remote_query(source.query or "")
        with Remote(uri, where=where) as remote:
            self._remote = remote
            try:
                if self._ended:
                    remote.cancel()
                column = source.watermark
                top = remote.highest(ask, column) if column is not None else None
                taken = remote.rows(ask, column=column, mark=mark)
                return [foreign.land(taken, source.name, tell)], top or mark
            finally:
                self._remote = None

    def uri(self) -> str:
        """Fill in the uri.

        Raises
        ------
        ConfigInvalid : a name in it is not in the environment; or it is of a database, and neither table nor query is.
        """
        source = self.source
        whole = _FILLED.fullmatch(source.uri)
        escaped = source.uri.startswith(POSTGRES)

        def fill(found: re.Match[str]) -> str:
            value = self._environment.get(found[1])
            if value is None:
                raise ConfigInvalid(
                    f"source {source.name}: ${{{found[1]}}} is not in the environment", hint=f"export {found[1]}=..."
                )
            return value if whole or not escaped else quote(value, safe="")

        uri = _FILLED.sub(fill, source.uri)
        if uri.startswith(SQLITE):
            uri = f"{SQLITE}{self.folder / uri.removeprefix(SQLITE)}"
        if uri.startswith((*POSTGRES, SQLITE)) != (source.table is not None or source.query is not None):
            raise ConfigInvalid(
                f"source {source.name}: a database takes a table or a query, and files take neither",
                hint="see `[[source]]` in docs/reference.md",
            )
        return uri


def pull(
    fetch: Fetch,
    database: Database,
    vocabularies: Vocabularies,
    *,
    hold: Callable[[], AbstractContextManager[None]],
    cleaning: Cleaning,
    progress: Progress | None = None,
    **options: Any,
) -> tuple[IngestReport, Pulls]:
    """Fetch what is new of a source and store it.

    Parameters
    ----------
    hold : keeps the fold still while the store is written.
    cleaning : as of `ingest`; also what clock moments without a zone are read by.
    options : `strict`, `quarantine`, `types` and further keywords of `ingest`.

    Returns
    -------
    What was stored, and what is known of the source's pulls now.

    Raises
    ------
    SourceUnreadable, ConfigInvalid : it cannot be reached or read; that is recorded, and the data of before stay.
    DataError : as `ingest`; so.
    """
    source, about = fetch.source, fetch.about
    known = pulls(database.read()).get(source.name)
    mark = known.mark if known is not None and known.about == about else None
    now = time.time_ns() // 1_000
    stored: list[Pulls] = []

    def tell(rows: int) -> None:
        if progress is not None:
            progress(source.name, rows, 0)

    spill = database.path.with_name(f".pull-{source.name}.tmp")
    try:
        limit = database.storage.memory_limit
        with Foreign(database.storage.threads, limit, cleaning.timezone, spill=spill) as foreign:
            listed, reached = fetch.land(foreign, mark, tell)

            def then(cursor: Cursor, reports: tuple[SourceReport, ...]) -> None:
                counts = sum(r.rows for r in reports), sum(r.stored for r in reports)
                stored[:] = [Pulls(source.name, about, now, reached, *counts)]
                record_pulled(cursor, stored[0])

            given: dict[str, Any] = {} if source.into == "table" else {source.into: listed, "columns": source.columns}
            if source.into == "table":
                given["external"] = External(source.name, source.columns, listed)
            with hold():
                report = ingest(
                    database,
                    vocabularies,
                    **given,
                    split=source.split,
                    cleaning=cleaning,
                    progress=progress,
                    foreign=foreign,
                    then=then,
                    **options,
                )
    except RecEngineError as err:
        said = err.message
        with suppress(RecEngineError):  # the store refuses: the error that made us ask is raised
            database.write(lambda cursor: record_failed(cursor, source.name, about, at=now, error=said))
        raise
    finally:
        shutil.rmtree(spill, ignore_errors=True)
    return report, stored[0]
