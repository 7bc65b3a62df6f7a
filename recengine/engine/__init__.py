"""The engine: opens a data directory and holds it all.

It is what an application embeds and what the command line calls.

An `Engine` is thread-safe: any number of threads may ask while one ingests or trains. A new deployment, or new
data, becomes visible whole: a request sees the state before or after, never between.
"""

import os
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, overload

import msgspec

from recengine.config import Config, load
from recengine.engine.answers import Answers
from recengine.engine.definitions import Definitions
from recengine.engine.features import Featured
from recengine.engine.held import shut
from recengine.engine.pulling import Pulling
from recengine.engine.records import Records
from recengine.errors import BadArtifact, StoreCorrupt
from recengine.jobs import index_report
from recengine.jobs.index_report import IndexReport
from recengine.offline import build, cycle, tune
from recengine.offline import incremental as incremental_cycle
from recengine.offline.ingest import IngestReport, ingest
from recengine.offline.train import Progress
from recengine.offline.tune import TuneReport
from recengine.online.recommender import Recommender
from recengine.store import directory
from recengine.store.backup import BackupReport, backup
from recengine.store.database import FILE, Database
from recengine.store.journal import Journal
from recengine.store.recovery import open_store

__all__ = ("Engine",)


class Engine(Answers, Pulling, Records, Featured, Definitions):
    """A recommendation engine over one data directory.

    Use `Engine.open(path)` as a context manager, or call `close()`.
    """

    def __init__(
        self, path: Path, config: Config, database: Database, journal: Journal, environment: Mapping[str, str]
    ) -> None:
        super().__init__(path, config, database, journal, environment)
        self._shut = weakref.finalize(self, shut, self._timelines, self._keeper, self._feedback, database)
        """Closes at the latest when the interpreter ends, so that a script that stops in an error loses no record."""

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        config: Config | None = None,
        create: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Open the data directory at `path`; with `create`, make it where there is none.

        Parameters
        ----------
        config : instead of its `recengine.toml`.
        environment : what `${NAME}` in the uri of a `[[source]]` stands for, such as `os.environ`.

        Raises
        ------
        DirectoryInvalid : there is no data directory, or something else.
        StoreLocked : another process has it open.
        StoreCorrupt, StoreTooNew : the database cannot be used.
        ConfigInvalid : `recengine.toml` does not parse.

        A damaged deployment is no reason not to open: asking it raises `BadArtifact`, and training or rolling back
        mends it.
        """
        folder = Path(path)
        if create and not (folder / FILE).exists():
            directory.create(folder)
        directory.check(folder)
        config = config or load(folder / directory.CONFIG)
        filled = dict(environment or {})
        try:
            return cls(folder, config, *open_store(folder, config.store), filled)
        except StoreCorrupt:  # damage that only reading met: look at every block, and heal
            return cls(folder, config, *open_store(folder, config.store, suspect=True), filled)

    def close(self) -> None:
        """Write what is buffered and let the data directory go. Closing twice is fine."""
        self._shut()

    @property
    def closed(self) -> bool:
        """Whether it is closed, or being closed: nothing more is taken."""
        return not self._shut.alive

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------ offline

    def ingest(
        self,
        *,
        events: Any = None,
        items: Any = None,
        users: Any = None,
        columns: Mapping[str, str] | None = None,
        strict: bool = False,
        **options: Any,
    ) -> IngestReport:
        """Read events, items and users from files or frames.

        What is bad goes to quarantine, what is known is passed over.

        Parameters
        ----------
        events, items, users : a path, glob or list of paths (CSV, Parquet, JSONL; .gz, .zst), a pandas, polars or
            pyarrow frame, dicts, or `Event`, `Item`, `User`.
        columns : role -> column name, such as `{"user": "userId", "order": "timestamp"}`.
        strict : refuse the whole call at the first bad row.
        options : further keywords of `offline.ingest.ingest`.

        Raises
        ------
        DataError : a source or column cannot be used, or `strict` met a bad row; nothing was written.
        """
        with self._holding():
            return ingest(
                self._database,
                self._ids,
                events=events,
                items=items,
                users=users,
                columns=columns,
                strict=strict,
                quarantine=self.path / directory.QUARANTINE,
                types=self.config.event,
                cleaning=self.config.cleaning,
                expectations={name: self.config.expected(name) for name in ("events", "items", "users")},
                **options,
            )

    @overload
    def train(self, *, threads: int = 0, incremental: Literal[False] = False, **options: Any) -> cycle.CycleReport: ...

    @overload
    def train(
        self, *, threads: int = 0, incremental: Literal[True], **options: Any
    ) -> incremental_cycle.IncrementalReport: ...

    def train(
        self, *, threads: int = 0, incremental: bool = False, **options: Any
    ) -> cycle.CycleReport | incremental_cycle.IncrementalReport:
        """Run the offline spine: build, train, validate, gate, deploy; the new deployment answers from then on.

        Parameters
        ----------
        threads : cores to train with; 0 = as configured.
        incremental : fold only what is new into the live models; see `offline.incremental`.
        options : further keywords of `offline.cycle.train`: `as_of`, `force`, `progress`; of an increment `progress`.

        Raises
        ------
        EmptyData : there is too little to learn from.
        GateFailed : the candidate is worse than what is live; the live deployment stays.
        FullTrainNeeded : an increment cannot stand on what is live.
        """
        with self._training:
            self._feedback.flush()  # so that it learns from everything that was acknowledged
            try:
                if incremental:
                    return self._increment(self._config_for(threads), **options)
                return cycle.train(self._database, self.artifacts, self._config_for(threads), **options)
            finally:  # an error after the switch must not leave the older deployment answering
                self._follow()

    def tune(
        self, model: str, file: str | os.PathLike[str], *, threads: int = 0, **options: Any
    ) -> tuple[TuneReport, Config]:
        """Search settings of the `[[model]]` called `model`, on a validation part; nothing is deployed.

        Parameters
        ----------
        file : takes a line for each trial.
        threads : as in `train`.
        options : further keywords of `offline.tune.run`: `trials`, `resume`, `progress`.

        Returns
        -------
        what was found, and the configuration with the best settings.

        Raises
        ------
        BadUsage : there is no such model, or `file` holds another search.
        EmptyData : there is too little to learn from.
        """
        self._feedback.flush()
        config = self._config_for(threads)
        part = build.run(self._database, config).validation  # its targets are before those that the gate judges by
        return tune.run(part, config, model, Path(file), **options)

    def index_report(self, *, threads: int = 0, **options: Any) -> IndexReport:
        """Measure recall, time and memory of every kind of index over the live vectors; nothing is deployed.

        Parameters
        ----------
        threads : cores to build with; 0 = as configured.
        options : further keywords of `jobs.index_report.report`: `kinds`, `queries`, `progress`.

        Raises
        ------
        NotTrained : nothing is deployed yet.
        NotFitted : no model of the live deployment has factors.
        EmptyData : no item or no user has a vector.
        BadUsage : `queries` is below 1.
        """
        live, (data, _) = self.spine().deployment, self._state.known()
        folder, config = self.artifacts.open(live.version), self._config_for(threads)
        return index_report.report(live, folder, data, config, threads=config.training.threads, **options)

    def promote(self, version: str) -> None:
        """Make `version` the live deployment."""
        with self._training:
            self.artifacts.promote(version)
            self._reload()

    def rollback(self) -> str:
        """Go back to the deployment that was live before; returns its version."""
        with self._training:
            version = self.artifacts.rollback()
            self._reload()
        return version

    def follow(self) -> str | None:
        """Load the deployment that `artifacts/current` names, where another one answers; returns its version.

        For who shares the folder with whoever promotes. None = it answers already, or this process trains, which ends
        with a look of its own.

        Raises
        ------
        BadArtifact, UnknownVersion : it cannot be used; what answered goes on answering.
        """
        if not self._training.acquire(blocking=False):
            return None
        try:
            version, live = self.artifacts.current(), self._live
            if version is None or (isinstance(live, Recommender) and live.deployment.version == version):
                return None
            self._live = self._load()
            self._replies.clear()
            return version
        finally:
            self._training.release()

    def backup(self, target: str | os.PathLike[str]) -> BackupReport:
        """Copy the data directory to `target`, verified, while it is in use.

        Raises
        ------
        DirectoryInvalid : there is something at `target`, or nothing can be written there.
        """
        self._feedback.flush()
        return backup(self._database, Path(target))

    def broken(self) -> dict[str, str]:
        """Name the parts that ended with a defect and what that means; empty = all run. Opening again helps."""
        found = {}
        if self._feedback.broken:
            found["fold"] = "a record could not be folded: nothing is taken any more"
        if not self._keeper.alive:
            found["keeper"] = "no snapshots are made any more: the journal only grows"
        return found

    def facts(self) -> dict[str, Any]:
        """Count what the engine holds."""
        feedback, replies, live = self._feedback, self._replies, self._live
        store = live.features.store if isinstance(live, Recommender) else None
        program = store.program if store is not None else None
        counted = self._state.counted
        return {
            "users": len(self._ids.users),
            "items": len(self._ids.items),
            "last event": self._state.last_event,
            "live": live.deployment.version if isinstance(live, Recommender) else "none",
            "journal": self._journal.last_seq,
            "behind": self._ledger.behind,
            "events stored": feedback.stored,
            "events known": feedback.duplicates,
            "replies kept": len(replies),
            "replies kept, bytes": replies.bytes,
            "cache hits": replies.hits,
            "cache misses": replies.misses,
            "records lost": feedback.dropped,
            "counted for features, bytes": counted.memory if counted is not None else 0,
            "user rows found": store.users.hits if store is not None else 0,
            "user rows computed": store.users.misses if store is not None else 0,
            "feature values missing": sum(program.missing.values()) if program is not None else 0,
            "feature values unseen": sum(program.unseen.values()) if program is not None else 0,
            "snapshot": self._keeper.told,
        }

    # ------------------------------------------------------------------------------------------------ inside

    def _increment(self, config: Config, progress: Progress | None = None) -> incremental_cycle.IncrementalReport:
        self._follow()
        live = self.spine().deployment
        data, last_event = self._state.known()
        self._feedback.flush()  # so that the store holds all of it
        return incremental_cycle.run(self._database, self.artifacts, config, live, data, last_event, progress=progress)

    def _follow(self) -> None:
        """Load what `artifacts/current` names, unless that answers already."""
        live = self._live
        with suppress(BadArtifact):
            if isinstance(live, Recommender) and live.deployment.version == self.artifacts.current():
                return
        self._reload()

    def _config_for(self, threads: int) -> Config:
        if threads < 1:
            return self.config
        training = msgspec.structs.replace(self.config.training, threads=threads)
        return msgspec.structs.replace(self.config, training=training)
