"""Granian with one worker process that opens the engine.

In: a data directory and its resolved configuration. The parent listens for signals and starts a worker again that
crashed; the worker opens the engine, serves, and closes it after the last answer. Why one worker: the engine holds
the store, and a request costs less than the hand-over between processes would. Why the worker is spawned, not
forked: a fork of a process that has used OpenMP or has threads hangs in them.
"""

import ctypes
import multiprocessing
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import MPServer

from recengine.config import Config
from recengine.engine import Engine
from recengine.server.app import build
from recengine.server.door import Door

__all__ = ("serve",)

_PR_SET_PDEATHSIG = 1


class _Server(MPServer):
    """Granian whose SIGHUP does nothing: its reload starts a second worker while the first holds the store."""

    def signal_handler_reload(self, *_: Any, **__: Any) -> None:
        """Pass over SIGHUP."""


def serve(folder: Path, config: Config) -> None:
    """Serve the data directory `folder` until SIGTERM or SIGINT; returns when the engine is closed."""
    multiprocessing.set_start_method("spawn", force=True)
    settings = config.server
    server = _Server(
        target="recengine",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=1,
        http=HTTPModes.http1,
        websockets=False,
        backlog=settings.backlog,
        http1_settings=HTTP1Settings(header_read_timeout=round(settings.header_timeout * 1000)),
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        workers_kill_timeout=max(1, round(settings.shutdown_timeout)),
    )
    server.serve(target_loader=partial(_load, folder, config, os.getpid()), wrap_loader=False)


def _load(folder: Path, config: Config, parent: int) -> Door:
    """Open the engine in the worker. A worker without its parent would hold the store for ever: it dies with it."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    return build(Engine.open(folder, config=config), close=True)
