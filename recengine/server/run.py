"""Granian with one worker process that opens the engine.

In: a data directory and its resolved configuration. The parent waits for signals and starts a worker again that
crashed; the worker opens the engine, serves, and closes it after the last answer. Why one worker: the engine holds the
store, and a request costs less than a hand-over between processes would. Why the worker is spawned, not forked: a fork
of a process that has threads, or has used OpenMP, hangs in them.
"""

import atexit
import ctypes
import gc
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import MPServer

from recengine import errors
from recengine.config import Config, Server
from recengine.engine import Engine
from recengine.errors import ConfigInvalid, EngineFault, RecEngineError
from recengine.server.app import build
from recengine.server.door import Door
from recengine.server.keys import Keys, create, revoke
from recengine.server.log import GRANIAN
from recengine.store import directory

__all__ = ("Serving", "serve")

_PR_SET_PDEATHSIG = 1
_PATIENCE = 10.0
"""Seconds between an open engine and an open port."""


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever started the server is told when it answers."""

    url: str
    docs: str | None
    """Where the API is described for people; None = the page is off."""
    key: str | None
    """A key that was made now, because none was there and one is needed: this is the only time that it can be seen."""
    keys_needed: bool


class _Granian(MPServer):
    """Granian that stops at SIGHUP, as when a terminal closes: its reload would start a second worker meanwhile.

    Under `nohup`, which has the signal ignored, it goes on.
    """

    _ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    def signal_handler_reload(self, *args: Any, **kwargs: Any) -> None:
        """Stop as for SIGTERM."""
        if self._ignored:
            return
        self.signal_handler_interrupt(*args, **kwargs)  # type: ignore[no-untyped-call]


class _Failure(msgspec.Struct):
    """Why a worker could not open the engine."""

    error: str
    message: str
    hint: str


def serve(
    folder: Path,
    config: Config,
    started: Callable[[Serving], None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Serve the data directory `folder` until SIGTERM or SIGINT; returns when the engine is closed.

    Runs in the main thread. Where callers need a key and there is none, one is made.

    Parameters
    ----------
    started : called on another thread when the first request can be answered.
    environment : what `${NAME}` in the uri of a source stands for.

    Raises
    ------
    DirectoryInvalid : `folder` is no data directory.
    ConfigInvalid : the address cannot be listened on, or the file of keys is damaged.
    RecEngineError : the engine cannot be opened; as `Engine.open`.
    EngineFault : the worker crashed, and again when it was started again.
    """
    settings = config.server
    directory.check(folder)  # before a key is written there
    address = _free(settings)
    keys = Keys(folder, settings.keys, settings.host)
    key = create(folder, "made at the first start") if keys.needed and not keys else None
    url = _url(settings)
    about = Serving(url=url, docs=f"{url}/docs" if settings.docs else None, key=key, keys_needed=keys.needed)
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)
    mine, theirs = multiprocessing.Pipe(duplex=False)
    server = _Granian(
        target="recengine",
        address=address,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=1,
        http=HTTPModes.http1,
        websockets=False,
        backlog=settings.backlog,
        http1_settings=HTTP1Settings(header_read_timeout=round(settings.header_timeout * 1000)),
        log_level=LogLevels.warning,
        log_dictconfig=GRANIAN,
        respawn_failed_workers=True,
        workers_kill_timeout=max(1, round(settings.shutdown_timeout)),
    )
    news = _News(mine, server, about, started)
    load = partial(_load, folder, config, os.getpid(), theirs, environment or {})
    try:
        server.serve(target_loader=load, wrap_loader=False)
    except SystemExit as stop:
        news.finish(theirs)
        if news.failure is not None:
            raise news.failure from stop
        raise EngineFault("the server's worker crashed twice", hint="its last lines on stderr say why") from stop
    finally:
        news.finish(theirs)
        if key is not None and not news.told:  # nobody saw it: the next start makes another one
            revoke(folder, key)
        multiprocessing.set_start_method(before, force=True)


class _News:
    """Reads what workers say: an open engine, or why there is none."""

    def __init__(
        self, pipe: Connection, server: _Granian, about: Serving, started: Callable[[Serving], None] | None
    ) -> None:
        self.failure: RecEngineError | None = None
        self.told = False
        """Whoever started the server knows where it is, and its key."""
        self._pipe = pipe
        self._server = server
        self._about = about
        self._started = started
        self._thread = threading.Thread(target=self._read, name="recengine-news", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            told: _Failure | bool | None = self._pipe.recv()
            if told is None:
                return
            if isinstance(told, _Failure):
                kind = getattr(errors, told.error, EngineFault)
                self.failure = kind(told.message, hint=told.hint)
                self._server.respawn_failed_workers = False  # trying again would meet the same
            elif self._started is not None and _reachable(self._about.url):
                started, self._started = self._started, None  # a worker that replaces one that crashed is no news
                started(self._about)
                self.told = True

    def finish(self, theirs: Connection) -> None:
        """Read what is left, and stop."""
        if self._thread.is_alive():
            theirs.send(None)
            self._thread.join()


def _load(folder: Path, config: Config, parent: int, news: Connection, environment: Mapping[str, str]) -> Door:
    """Open the engine in the worker. A worker without its parent would hold the store for ever: it dies with it."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    try:
        engine = Engine.open(folder, config=config, environment=environment)
        door = build(engine, close=True)
    except RecEngineError as err:
        news.send(_Failure(type(err).__name__, err.message, err.hint))
        sys.exit(1)
    gc.freeze()  # what is here stays: the collector need not walk over it again and again, 2 % of a request
    atexit.register(_leave, engine)
    news.send(True)
    return door


def _leave(engine: Engine) -> None:
    """End the worker without Python's teardown: what Granian's threads still hold makes DuckDB's binding complain."""
    engine.close()  # done long ago, unless the server broke
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _url(settings: Server) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  to be looked up
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _free(settings: Server) -> str:
    """See that nobody listens there: Granian's sockets would share the port with whoever does. Returns the IP address.

    Raises
    ------
    ConfigInvalid : somebody does, or the address is none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as err:
        where = f"server: cannot listen on {settings.host}:{settings.port}"
        raise ConfigInvalid(f"{where}: {err.strerror or err}", hint="choose another `server.host` or port") from err
    return str(address[0])


def _reachable(url: str) -> bool:
    """Wait until the port is open."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False
