"""The engine: opens a data directory and holds it all.

It is what an application embeds and what the command line calls.

An `Engine` is thread-safe: any number of threads may ask while one ingests or trains. A new deployment, or new
data, becomes visible whole: a request sees the state before or after, never between.
"""

import os
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from recengine.algorithms.base import Progress
from recengine.artifacts import ArtifactStore
from recengine.config import Config, load
from recengine.errors import BadRequest, ModelError, NotTrained, RecEngineError, UnknownItem, UnknownUser
from recengine.jobs.export import ExportReport, export
from recengine.kernels import cores
from recengine.offline import cycle
from recengine.offline.ingest import IngestReport, ingest
from recengine.online.reasons import title
from recengine.online.recommender import Recommender
from recengine.online.replay import catch_up, restore
from recengine.online.requests import N, asked, asked_of_all
from recengine.retrieval import deployment as deployments
from recengine.retrieval.sources import CELLS
from recengine.store import directory
from recengine.store.backup import BackupReport, backup
from recengine.store.database import FILE, Database
from recengine.store.decisions import Decision, Decisions
from recengine.store.vocab import load_vocabularies
from recengine.types import F32, I32, Explanation, Interactions, Recommendation, Request, Response

__all__ = ("Engine",)


class Engine:
    """A recommendation engine over one data directory.

    Use `Engine.open(path)` as a context manager, or call `close()`.
    """

    def __init__(self, path: Path, config: Config, database: Database) -> None:
        self.path = path
        self.config = config
        self.artifacts = ArtifactStore(path / directory.ARTIFACTS)
        self._database = database
        self._ids = load_vocabularies(database)
        self._writing = Lock()
        self._training = Lock()
        self._state = restore(database, self._ids, config.event)
        self._live: Recommender | RecEngineError
        self._reload()
        self._decisions = Decisions(database, rate=config.serving.decision_rate)  # last: it starts a thread
        self._shut = weakref.finalize(self, _close, self._decisions, database)
        """Closes at the latest when the interpreter ends, so that a script that stops in an error loses no record."""

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, config: Config | None = None, create: bool = False) -> Self:
        """Open the data directory at `path`; with `create`, make it where there is none.

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
        database = Database.open(folder / FILE, config.store)
        try:
            return cls(folder, config, database)
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Write what is buffered and let the data directory go. Closing twice is fine."""
        self._shut()

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
        with self._writing:
            try:
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
                    **options,
                )
            finally:  # whatever came after the commit, what was stored is served
                catch_up(self._state, self._database, self._ids)

    def train(self, *, threads: int = 0, **options: Any) -> cycle.CycleReport:
        """Run the offline spine: build, train, validate, gate, deploy; the new deployment answers from then on.

        Parameters
        ----------
        threads : cores to train with; 0 = as configured.
        options : further keywords of `offline.cycle.train`: `as_of`, `force`, `progress`.

        Raises
        ------
        EmptyData : there is too little to learn from.
        GateFailed : the candidate is worse than what is live; the live deployment stays.
        """
        with self._training:
            try:
                return cycle.train(self._database, self.artifacts, self._config_for(threads), **options)
            finally:  # an error after the switch must not leave the older deployment answering
                self._reload()

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

    def backup(self, target: str | os.PathLike[str]) -> BackupReport:
        """Copy the data directory to `target`, verified, while it is in use.

        Raises
        ------
        DirectoryInvalid : there is something at `target`, or nothing can be written there.
        """
        return backup(self._database, Path(target))

    # ------------------------------------------------------------------------------------------------ online

    def recommend(self, user: str | Request | None = None, n: int = N, **wishes: Any) -> Response:
        """Recommend items to one user.

        Parameters
        ----------
        user : a user id (unknown or None = cold), or a whole `Request`.
        n : items wanted; the reply holds so many whenever so many are eligible.
        wishes : further fields of `Request`, such as `filter="price < 50"`.

        Raises
        ------
        RequestError : a field is out of range or of the wrong type; the message names it.
        NotTrained : nothing is deployed yet.
        """
        request = asked(user, n, wishes)
        return self._answer((request,), 1)[0]

    def recommend_batch(self, users: Iterable[str | Request], n: int = N, **wishes: Any) -> list[Response]:
        """Recommend to many users at once, on all cores; the same answers as one by one."""
        requests = asked_of_all(users, n, wishes)
        count = cores()
        size = max(1, min(1024, CELLS // max(self._state.items.n, 1)))
        chunks = [tuple(requests[start : start + size]) for start in range(0, len(requests), size)]
        if len(chunks) < count:
            return [reply for chunk in chunks for reply in self._answer(chunk, count)]
        # One chunk a core: while one is in Python the others are in kernels, which let go of the interpreter.
        with ThreadPoolExecutor(count, thread_name_prefix="recengine-batch") as pool:
            return [reply for found in pool.map(self._answer, chunks, repeat(1)) for reply in found]

    def explain(self, user: str | Request | None, item: str, **wishes: Any) -> Explanation:
        """Say why `item` would, or would not, be shown to `user`.

        Raises
        ------
        UnknownItem : `item` was never ingested.
        """
        return self.spine().explain(asked(user, N, wishes), self._item(item))

    def similar_items(self, item: str, n: int = N) -> tuple[Recommendation, ...]:
        """List the items most like `item`, available ones only; the first model that knows decides.

        Raises
        ------
        UnknownItem : `item` was never ingested.
        """
        return self._listed(*self.spine().lists.similar_items(self._item(item), n), "similar")

    def similar_users(self, user: str, n: int = N) -> tuple[tuple[str, float], ...]:
        """List the users most like `user` with their similarity.

        Raises
        ------
        UnknownUser : `user` was never ingested.
        """
        live = self.spine()
        if self._ids.users.row(user) < 0:
            raise UnknownUser(f"user {user!r} was never ingested", hint="ids are compared as text, exactly")
        rows, scores = live.lists.similar_users(live.query(Request(user_id=user)), n)
        return tuple(zip(self._ids.users.ids(rows), scores.tolist(), strict=True))

    def popular(self, n: int = N, *, category: str | None = None) -> tuple[Recommendation, ...]:
        """List the most popular items, of one category or of all."""
        return self._ranking("popular", n, category)

    def trending(self, n: int = N) -> tuple[Recommendation, ...]:
        """List what is popular of late."""
        return self._ranking("trending", n, None)

    def latest(self, n: int = N) -> tuple[Recommendation, ...]:
        """List the newest items."""
        return self._ranking("latest", n, None)

    def export(
        self,
        target: str | os.PathLike[str],
        *,
        users: Sequence[str] | None = None,
        n: int = N,
        progress: Progress | None = None,
        **wishes: Any,
    ) -> ExportReport:
        """Write recommendations for `users` (None = all) to a .parquet, .csv or .jsonl file.

        Raises
        ------
        BadRequest : the name has another ending, or a wish is wrong.
        DirectoryInvalid : the folder is missing or cannot be written.
        NotTrained : nothing is deployed yet.
        """
        self.spine()
        names = users if users is not None else self.users()

        def batches() -> Iterator[list[Response]]:
            for start in range(0, len(names), 1024):
                yield self.recommend_batch(names[start : start + 1024], n, **wishes)
                if progress is not None:
                    progress(min(start + 1024, len(names)), len(names))

        return export(batches(), Path(target))

    def titles(self, items: Sequence[str]) -> list[str]:
        """Name items in words: their `title` attribute, else their id."""
        rows = self._ids.items.rows(items).tolist()  # -1 = never ingested: its id must do
        return [title(self._state.items, row, item) for row, item in zip(rows, items, strict=True)]

    def decision(self, request_id: str) -> Decision | None:
        """Look up what was shown under `request_id`; None = there is no such record."""
        if not isinstance(request_id, str):
            raise BadRequest(f"request_id: expected str, got {type(request_id).__name__}")
        return self._decisions.read(request_id)

    def users(self) -> list[str]:
        """List all user ids, in the order of first sight."""
        return self._ids.users.ids(np.arange(len(self._ids.users), dtype=np.int32))

    def interactions(self) -> Interactions:
        """Return who engaged with what, as models see it: one row a user, in the order of `users()`."""
        n = len(self._ids.users)
        held = self._state.histories
        return held.stack([held.row(user) for user in range(n)], self.config.serving.history_limit, self._state.items.n)

    def spine(self) -> Recommender:
        """Return what answers now, for those who want its traces.

        Raises
        ------
        NotTrained : nothing is deployed yet.
        BadArtifact : the live deployment is damaged.
        """
        live = self._live
        if isinstance(live, RecEngineError):
            raise type(live)(live.message, hint=live.hint)
        return live

    def facts(self) -> dict[str, Any]:
        """Count what the engine holds."""
        return {
            "users": len(self._ids.users),
            "items": len(self._ids.items),
            "last event": self._state.seq,
            "live": self.artifacts.current() or "none",
            "records lost": self._decisions.dropped,
        }

    # ------------------------------------------------------------------------------------------------ inside

    def _answer(self, requests: tuple[Request, ...], threads: int) -> list[Response]:
        found: dict[int, Response] = {}
        for places, replies, trace in self.spine().answer(requests, threads=threads):
            self._decisions.record(replies, trace.times)
            found |= zip(places, replies, strict=True)
        return [found[place] for place in range(len(requests))]

    def _load(self) -> Recommender:
        version = self.artifacts.current()
        if version is None:
            raise NotTrained(f"{self.path}: nothing is deployed yet", hint=f"run `recengine train {self.path}`")
        live = deployments.load(self.artifacts.open(version), version)
        recommender = Recommender(live, self._state, self._ids.users, self._ids.items, self.config)
        if self._state.items.n:
            recommender.recommend([Request()])  # what is packed and laid out at first use is so before anybody waits
        return recommender

    def _ranking(self, kind: str, n: int, category: str | None) -> tuple[Recommendation, ...]:
        live = self.spine()
        return self._listed(*live.lists.ranking(kind, n, category), kind)

    def _listed(self, rows: I32, scores: F32, kind: str) -> tuple[Recommendation, ...]:
        return tuple(
            Recommendation(i, s, kind) for i, s in zip(self._ids.items.ids(rows), scores.tolist(), strict=True)
        )

    def _config_for(self, threads: int) -> Config:
        if threads < 1:
            return self.config
        training = msgspec.structs.replace(self.config.training, threads=threads)
        return msgspec.structs.replace(self.config, training=training)

    def _item(self, item: str) -> int:
        row = self._ids.items.row(item)
        if not 0 <= row < self._state.items.n:
            raise UnknownItem(f"item {item!r} was never ingested", hint="ids are compared as text, exactly")
        return row

    def _reload(self) -> None:
        try:
            self._live = self._load()
        except ModelError as err:  # raised again to whoever asks; see `open`
            self._live = err


def _close(decisions: Decisions, database: Database) -> None:
    try:
        decisions.close()
    finally:
        database.close()
