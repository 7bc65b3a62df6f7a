"""Who trains while a server holds the directory: one thread, where `[training]` has `every` or `incremental_every`.

In: the engine and its configuration. Out: fresher deployments, swapped whole, and lines of the log. Why one thread for
both: of an engine one training runs at a time, and a full one makes the increment that was due with it needless. Why at
a lower priority: kernels let go of the interpreter, so all that requests would wait for is the cores.
"""

import os
import threading
from contextlib import suppress
from datetime import UTC, datetime
from math import inf
from time import monotonic

from recengine.config import microseconds
from recengine.engine import Engine
from recengine.errors import BadArtifact, FeaturesChanged, FullTrainNeeded, GateFailed, NotTrained, RecEngineError
from recengine.server import log

__all__ = ("Trainings",)

PATIENCE = 5.0
"""Seconds that the end waits for a training that was told to stop."""
NICENESS = 10
LONGEST = 8
"""Failures in a row make the next turn come later, up to so many times its span: a training is too dear to repeat."""
FULL, INCREMENT = "full", "increment"
_AT_AN_END = (BadArtifact, FeaturesChanged, FullTrainNeeded, GateFailed, NotTrained)
"""Of an increment: only a full training helps."""


class _Stopped(Exception):
    """The server ends; what was live stays live."""


class Trainings:
    """Trains until stopped.

    Parameters
    ----------
    engine : its `[training]` says how often; the first turn comes when what is live is so old.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stopped = threading.Event()
        settings = engine.config.training
        spans = {FULL: settings.every, INCREMENT: settings.incremental_every}
        self._spans = {kind: microseconds(span) / 1e6 for kind, span in spans.items() if span is not None}
        """Seconds."""
        self._thread = threading.Thread(target=self._run, name="recengine-training", daemon=True)

    def start(self) -> None:
        """Begin, where the configuration wants it."""
        if self._spans:
            self._thread.start()

    def stop(self) -> None:
        """Give up a training that runs, and start no more."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=PATIENCE)

    def _run(self) -> None:
        with suppress(OSError):  # Linux: of this thread, and of those that its kernels start
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        ages = self._ages()
        due = {kind: monotonic() + max(0.0, span - ages[kind]) for kind, span in self._spans.items()}
        failures = 0
        while not self._stopped.wait(max(0.0, min(due.values()) - monotonic())):
            kind = FULL if due.get(FULL, inf) <= monotonic() else INCREMENT
            done = self._train(kind)
            failures = 0 if done else failures + 1
            for turn, span in self._spans.items():
                if turn in done or turn == kind:
                    due[turn] = monotonic() + span * min(2**failures, LONGEST)

    def _train(self, kind: str) -> tuple[str, ...]:
        """Train; returns which turns that did."""
        try:
            if kind == INCREMENT:
                try:
                    made = self._engine.train(incremental=True, progress=self._heard)
                except _AT_AN_END as err:
                    log.line("info", "training", kind=kind, code=err.code, error=str(err))
                else:
                    if made.deploy is not None:
                        self._told(kind, made.version, made.seconds)
                    return (INCREMENT,)
            report = self._engine.train(progress=self._heard)
        except _Stopped:
            return ()
        except RecEngineError as err:
            if not self._stopped.is_set():
                log.line("error", "training", kind=kind, code=err.code, error=str(err))
            return ()
        except Exception as err:  # noqa: BLE001  the next one may do better, and nobody else trains
            log.fault("training", err)
            return ()
        self._told(FULL, report.version, report.seconds)
        return (FULL, INCREMENT)

    def _told(self, kind: str, version: str, seconds: float) -> None:
        log.line("info", "training", kind=kind, version=version, seconds=round(seconds, 2))

    def _heard(self, what: str, done: int, total: int) -> None:  # noqa: ARG002 - a `Progress`
        if self._stopped.is_set():
            raise _Stopped

    def _ages(self) -> dict[str, float]:
        """Tell how many seconds ago what is live was made, and the full training below it; infinite = there is none."""
        store = self._engine.artifacts
        try:
            version = store.current()
            if version is None:
                return {FULL: inf, INCREMENT: inf}
            stands = store.manifest(version).about.incremental
            full = version if stands is None else stands.full
            return {FULL: _age(store.manifest(full).created), INCREMENT: _age(store.manifest(version).created)}
        except RecEngineError:  # damaged, or gone: training mends it
            return {FULL: inf, INCREMENT: inf}


def _age(created: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds()
