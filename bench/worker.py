"""One Granian worker, as the server itself runs it: what every rival of the HTTP benches is served by."""

import multiprocessing
from collections.abc import Callable
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import MPServer


def serve(name: str, port: int, loader: Callable[[], Any]) -> None:
    """Serve what `loader` makes in the worker, until stopped."""
    multiprocessing.set_start_method("spawn", force=True)
    server = MPServer(
        target=name,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGI,
        workers=1,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.warning,
    )
    server.serve(target_loader=loader, wrap_loader=False)
