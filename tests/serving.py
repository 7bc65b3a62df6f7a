"""A real server for tests: Granian in a process of its own, and sockets that say exactly what the test says.

`python -m tests.serving FOLDER` serves as `recengine serve` does, configured by the folder's `recengine.toml`, and prints
one line of JSON when it answers.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from recengine.config import load
from recengine.errors import RecEngineError
from recengine.server.run import serve

ROOT = Path(__file__).resolve().parents[1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Served:
    """The server of one data directory, as a context manager. `settings` become its `[server]`."""

    def __init__(self, folder, **settings):
        self.folder = Path(folder)
        self.port = settings.setdefault("port", free_port())
        config = self.folder / "recengine.toml"
        kept = config.read_text().partition("\n[server]\n")[0]
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        config.write_text(f"{kept}\n[server]\n{lines}")
        self.log = self.folder.parent / f"server-{self.port}.log"

    def __enter__(self):
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "tests.serving", self.folder]
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        assert line, self.log.read_text()[-3000:]
        self.about = json.loads(line)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        end = time.monotonic() + 5
        while self.listening() and time.monotonic() < end:  # the worker dies of its parent's death
            time.sleep(0.01)

    def stop(self):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def worker(self):
        """The pid of the worker."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    if parent == self.process.pid and b"spawn_main" in (entry / "cmdline").read_bytes():
                        return int(entry.name)
        return None

    def listening(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, target, method="GET", body=None, headers=()):
        """Send one request on a connection of its own; returns (status, parsed JSON)."""
        content = b"" if body is None else msgspec.json.encode(body)
        head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers)
        status, got = self.say(head.encode() + b"\r\n" + content)
        return status, msgspec.json.decode(got) if got else None

    def say(self, raw):
        """Send bytes; returns (status, body) of the answer, (0, b"") where the connection closes without one."""
        with self.connect() as sock:
            with contextlib.suppress(ConnectionError):
                sock.sendall(raw)
            return answer(sock)


def answer(sock):
    """Read one answer from a socket."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            got = sock.recv(65_536)
            if not got:
                return 0, b""
            data += got
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(fields.get(b"content-length", 0)):
            body += sock.recv(65_536)
    except ConnectionError:
        return 0, b""
    return int(head.split(b" ")[1]), body


if __name__ == "__main__":
    path = Path(sys.argv[1])
    try:
        serve(path, load(path / "recengine.toml"), lambda about: print(msgspec.json.encode(about).decode(), flush=True))  # noqa: T201
    except RecEngineError as err:
        sys.stderr.write(f"{err.code}: {err}\n")
        os._exit(2)
