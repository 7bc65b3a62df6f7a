"""What an open engine holds: store, journal, the fold over both, the loop that feeds it, the live deployment."""

import gc
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from recengine.artifacts.store import ArtifactStore
from recengine.config import Config, Moments
from recengine.errors import ModelError, NotTrained, RecEngineError
from recengine.features.builtin import places
from recengine.features.deployed import agree
from recengine.online.feedback import Feedback
from recengine.online.recent import LIMIT, Recent
from recengine.online.recommender import Recommender
from recengine.online.replay import restore
from recengine.online.replies import Replies
from recengine.online.timelines import Timelines
from recengine.retrieval import deployment as deployments
from recengine.store import directory
from recengine.store.database import Database
from recengine.store.events import recent_event_ids
from recengine.store.journal import Journal
from recengine.store.ledger import Ledger
from recengine.store.pulls import pulls
from recengine.store.snapshot import Keeper
from recengine.store.vocab import load_vocabularies
from recengine.types import Request

__all__ = ("Held", "shut")

log = logging.getLogger("recengine.engine")


class Held:
    """The parts that the faces of an engine share.

    Parameters
    ----------
    environment : what `${NAME}` in the uri of a source stands for.
    database, journal : open; the journal may be ahead: what the database lacks is folded here. Both are closed where
        this raises, so that they can be opened once more, and healed.
    """

    def __init__(
        self, path: Path, config: Config, database: Database, journal: Journal, environment: Mapping[str, str]
    ) -> None:
        self.path = path
        self.config = config
        self._environment = environment
        self.artifacts = ArtifactStore(path / directory.ARTIFACTS)
        self._moments = Moments.of(config.cleaning)
        self._database = database
        self._journal = journal
        self._replies = Replies(config.serving.cache_entries, config.serving.cache_mb << 20)
        self._writing = Lock()
        self._training = Lock()
        opened: list[Callable[[], None]] = [database.close, journal.close]
        try:
            with _uncollected():
                self._ids = load_vocabularies(database)
                self._state = restore(database, self._ids, config)
                self._ledger = Ledger(database, self._ids, self._state.seq)
                recent = Recent()
                recent.add(recent_event_ids(database, LIMIT))
                self._feedback = Feedback(database, journal, self._state, self._ledger, recent)
                opened.append(self._feedback.close)
                self._pulls = pulls(database.read())
                self._keeper = Keeper(database, journal, config.store)
                opened.append(self._keeper.close)
                self.replayed = self._feedback.replay()
                """Frames that the journal held beyond the database at the opening."""
                self._timelines = Timelines(database, self._state)
                opened.append(self._timelines.close)
                self._feedback.follower.chores.append(self._timelines.keep)
                self._live: Recommender | RecEngineError
                self._reload()
        except BaseException:
            _let_go(opened)
            raise

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

    def _load(self) -> Recommender:
        version = self.artifacts.current()
        if version is None:
            raise NotTrained(f"{self.path}: nothing is deployed yet", hint=f"run `recengine train {self.path}`")
        live = deployments.load(self.artifacts.open(version), version)
        if live.features is not None:
            items, users = self._state.items.columns, self._state.users.columns
            agree(live.features, self.config, items, users, places(self.path / directory.CONFIG))
        recommender = Recommender(live, self._state, self._ids.users, self._ids.items, self.config)
        self._timelines.serve(recommender.features.store)
        if self._state.items.n:
            recommender.recommend([Request()])  # what is packed and laid out at first use is so before anybody waits
        return recommender

    def _reload(self) -> None:
        try:
            self._live = self._load()
        except ModelError as err:  # raised again to whoever asks; see `Engine.open`
            self._live = err
        self._replies.clear()


def _let_go(opened: list[Callable[[], None]]) -> None:
    """Close what a failed opening had opened, the last first; why it failed is raised, not what closing met."""
    for close in reversed(opened):
        try:
            close()
        except RecEngineError as err:
            log.warning("an opening failed, and closing what it had opened met: %s", err)


def shut(timelines: Timelines, keeper: Keeper, feedback: Feedback, database: Database) -> None:
    """Let go of everything in its order: what waits is written first."""
    timelines.close()
    keeper.close()
    try:
        feedback.close()
    finally:
        database.close()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let the collector of garbage rest: it would look again and again through what is loaded, and all of it is kept.

    That is an eighth of the CPU time of an opening (1 M events, 100,000 frames to replay). Only memory in cycles waits.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
