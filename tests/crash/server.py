"""A real server over a data directory, in a process group of its own, so that it can be killed whole or in part."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil

PATIENCE = 60.0
"""Seconds until a server that does not answer has failed to start."""


def free_port() -> int:
    """A port of loopback that nobody listens to."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


@dataclass
class Server:
    """`recengine serve` over `folder`; started anew as often as wanted, always on the same port."""

    folder: Path
    port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder.parent / f"{self.folder.name}.log"

    def start(self) -> float:
        """Start, wait until it is ready, and return the seconds that took."""
        began = time.monotonic()
        command = [sys.executable, "-m", "recengine", "serve", str(self.folder), "--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, env=self.environment, start_new_session=True
            )
        self.wait_ready()
        return time.monotonic() - began

    def wait_ready(self) -> None:
        """Ask until it says that it is ready."""
        end = time.monotonic() + PATIENCE
        while not self.is_ready():
            if self.process is None or self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the server did not get ready:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.02)

    def is_ready(self) -> bool:
        try:
            return self.get("/health/ready")[0] == 200
        except OSError:
            return False

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask once, on a connection of its own."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        wire = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            wire.request(method, path, body, {"content-type": "application/json"} if body else {})
            reply = wire.getresponse()
            return reply.status, reply.read()
        except http.client.HTTPException as err:
            raise ConnectionError(str(err)) from err
        finally:
            wire.close()

    def members(self) -> tuple[psutil.Process, list[psutil.Process]]:
        """The process that was started, and what it started."""
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        return parent, parent.children(recursive=True)

    def worker(self) -> psutil.Process:
        """The process that answers: the one that has the database open; the parent itself where there is no other."""
        parent, children = self.members()
        return next(p for p in (*children, parent) if any(f.path.endswith(".duckdb") for f in p.open_files()))

    def kill(self, whom: str = "group") -> None:
        """`kill -9` the whole group, or only the `worker` or the `parent`; returns when nothing of it is left.

        A parent that lost its worker may end or start another, a worker that lost its parent must end by itself.
        """
        parent, children = self.members()
        if whom == "worker":
            self.worker().kill()
        elif whom == "parent":
            parent.kill()
        else:
            os.killpg(parent.pid, signal.SIGKILL)
        if whom == "worker" and not self._ended(5):
            self.wait_ready()  # the parent made a new worker: it serves again by itself, and is then killed whole
            children = self.members()[1]
            os.killpg(parent.pid, signal.SIGKILL)
        assert self.process is not None
        self.process.wait(timeout=20)
        _, left = psutil.wait_procs(children, timeout=20)
        assert not left, f"left running after a kill of the {whom}: {left}"

    def _ended(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process is not None
            if self.process.poll() is not None:
                return True
            if self.is_ready():
                return False
            time.sleep(0.05)
        return False

    def stop(self) -> int:
        """Ask it to end and wait; returns its exit status. Harmless on one that ended."""
        if self.process is None or self.process.poll() is not None:
            return 0 if self.process is None else self.process.returncode
        self.process.terminate()
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
