"""How an engine takes over much at once: what ingests share, pulls of configured sources, and how fresh those are."""

import logging
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import msgspec

from recengine.config import Source, microseconds
from recengine.engine.held import Held
from recengine.errors import BadUsage, RecEngineError
from recengine.offline.ingest import IngestReport
from recengine.offline.ingest.pull import Fetch, pull
from recengine.online.replay import catch_up
from recengine.store import directory
from recengine.store.pulls import Pulls, pulls
from recengine.store.sequence import ingests
from recengine.types.frames import IngestFrame

__all__ = ("Pulling", "SourceState")

log = logging.getLogger("recengine.engine")


class SourceState(msgspec.Struct, frozen=True, kw_only=True):
    """How fresh the data of a `[[source]]` are."""

    name: str
    into: str
    at: int | None
    """When the last good pull began, int64 microseconds; None = there was none."""
    age_seconds: float | None
    rows: int
    """That the last good pull brought."""
    failures: int
    """Since then."""
    error: str | None
    """Why the last one failed; None = it did not."""
    stale: bool
    """The last good pull is older than `max_age`, or there was none."""

    @property
    def trouble(self) -> str:
        """Say what is wrong, without what the foreign server said (`error`); empty = nothing is."""
        age = "it was never pulled" if self.age_seconds is None else f"its data are {_length(self.age_seconds)} old"
        if self.error is not None:
            times = f" ({self.failures} times)" if self.failures > 1 else ""
            return f"{age}; the last pull failed{times}"
        return f"{age}, which is more than `max_age` allows" if self.stale else ""


class Pulling(Held):
    """The side of an engine that takes over what others hold."""

    def __init__(self, *opened: Any) -> None:
        super().__init__(*opened)
        self._fetching: dict[str, Fetch] = {}
        self._turns: defaultdict[str, Lock] = defaultdict(Lock)

    def pull(self, name: str, **options: Any) -> IngestReport:
        """Fetch what is new of the `[[source]]` called `name`, and store it.

        A source with a watermark brings what is at or above its last mark; what is known is passed over. Where it
        fails nothing is stored, what was pulled before stays, and `sources()` says why. Of one source one pull runs.

        Parameters
        ----------
        options : further keywords of `offline.ingest.ingest`: `strict`, `progress`.

        Raises
        ------
        BadUsage : there is no source of that name.
        ConfigInvalid : its uri names something that is not in the environment.
        SourceUnreadable : it cannot be reached or read.
        DataError : as `ingest`.
        """
        source = self._source(name)
        fetch = Fetch(source, folder=self.path, environment=self._environment)
        with self._turns[name]:
            self._fetching[name] = fetch
            try:
                report, self._pulls[name] = pull(
                    fetch,
                    self._database,
                    self._ids,
                    hold=self._holding,
                    cleaning=self.config.cleaning,
                    quarantine=self.path / directory.QUARANTINE,
                    types=self.config.event,
                    expectations={source.into: self.config.expected(source.into, name)},
                    **options,
                )
            except RecEngineError:
                self._pulls |= pulls(self._database.read())
                raise
            finally:
                del self._fetching[name]
        return report

    def stop_pulling(self) -> None:
        """End the pulls that wait for a foreign server: whoever called gets SourceUnreadable."""
        for fetch in list(self._fetching.values()):
            fetch.cancel()

    def sources(self) -> tuple[SourceState, ...]:
        """Tell how fresh the data of every configured source are. Cost: about a microsecond each."""
        now = time.time_ns() // 1_000
        return tuple(_state(source, self._pulls.get(source.name), now) for source in self.config.source)

    # ------------------------------------------------------------------------------------------------ inside

    def _source(self, name: str) -> Source:
        found = next((source for source in self.config.source if source.name == name), None)
        if found is None:
            listed = ", ".join(source.name for source in self.config.source) or "none"
            raise BadUsage(f"there is no source {name!r}", hint=f"`[[source]]` in recengine.toml: {listed}")
        return found

    @contextmanager
    def _holding(self) -> Iterator[None]:
        """Keep the fold still, and what was committed is served at the end, however it ends."""
        with self._writing, self._marked(), self._feedback.held(self._catch_up):
            yield
        self._timelines.again()  # after it: events go on while queries are asked

    def _catch_up(self) -> None:
        """Fold in what an ingest stored, however it ended: what was committed is served."""
        catch_up(self._state, self._database, self.config.serving)

    @contextmanager
    def _marked(self) -> Iterator[None]:
        """Say in the journal that an ingest went past it, and have a snapshot made that holds it."""
        before = ingests(self._database.read())
        try:
            yield
        finally:
            now = ingests(self._database.read())
            if now > before:
                try:
                    self._feedback.put((IngestFrame(now),))
                except RecEngineError as err:  # the next opening notes it; an error of the ingest itself goes on
                    log.warning("ingest %d is stored, and could not be noted in the journal yet: %s", now, err.message)
                self._keeper.ask()


def _length(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _state(source: Source, known: Pulls | None, now: int) -> SourceState:
    at = known.at if known is not None else None
    limit = microseconds(source.max_age) if source.max_age is not None else None
    return SourceState(
        name=source.name,
        into=source.into,
        at=at,
        age_seconds=None if at is None else (now - at) / 1e6,
        rows=known.rows if known is not None else 0,
        failures=known.failures if known is not None else 0,
        error=known.error if known is not None else None,
        stale=limit is not None and (at is None or now - at > limit),
    )
