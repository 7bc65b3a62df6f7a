"""The load of the HTTP benches: closed loop, HTTP/1.1 keep-alive, raw sockets, in a process of its own.

`run(port, payloads, ...)` starts `python -m bench.load` and returns what it measured. Each of `connections` sends the
next payload as soon as its last reply is whole, so the rate is what the server gives with that many waiting, and the
latency is that of this load and no open-loop figure. In a payload `@@@@@@@@` becomes a number that never repeats.

The generator is no bottleneck while `generator_busy`, its share of one core, stays below 1; its limit on this
machine is `1e6 / generator_cpu_us` requests/s.
"""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SLOT = b"@@@@@@@@"
TICKS = os.sysconf("SC_CLK_TCK")


def payload(method: str, path: str, body: bytes = b"", *, key: str = "") -> bytes:
    """Spell one request."""
    lines = [f"{method} {path} HTTP/1.1", "host: bench"]
    lines += [f"authorization: Bearer {key}"] if key else []
    lines += ["content-type: application/json", f"content-length: {len(body)}"] if body else []
    return "\r\n".join([*lines, "", ""]).encode() + body


def run(
    port: int, payloads: list[bytes], *, server: int, connections: int = 16, seconds: float = 2.0, keep: int = -1
) -> dict[str, Any]:
    """Load `port` from another process; `server` is the process whose CPU time counts.

    With `keep` >= 0, `bodies` are the different bodies that were received, without their first `keep` bytes.
    """
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "payloads"
        file.write_text(json.dumps([text.decode() for text in payloads]))
        plan = {"port": port, "server": server, "connections": connections, "seconds": seconds, "keep": keep}
        ask = [sys.executable, "-m", "bench.load", str(file), json.dumps(plan)]
        told = subprocess.run(ask, capture_output=True, text=True, check=True)  # noqa: S603
    return json.loads(told.stdout)


class Wire:
    """One connection: what it has received of a reply, and since when it waits."""

    __slots__ = ("held", "since", "socket", "want")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = b""
        self.want = 0
        self.since = 0.0


class Generator:
    """Sends and counts until told to stop."""

    def __init__(self, port: int, payloads: list[bytes], connections: int, keep: int) -> None:
        self.payloads = payloads
        self.wires = {wire.socket.fileno(): wire for wire in (Wire(port) for _ in range(connections))}
        self.poll = select.epoll()
        self.number = int(time.time() * 1000) % 10_000_000  # another run must not send the same event ids
        self.times: list[float] = []
        self.statuses: dict[str, int] = {}
        self.keep = keep
        self.bodies: set[bytes] = set()
        for number, wire in self.wires.items():
            self.poll.register(number, select.EPOLLIN)
            self._send(wire)

    def until(self, end: float) -> None:
        """Go on until the clock says `end`."""
        wires, poll, clock = self.wires, self.poll.poll, time.perf_counter
        while clock() < end:
            for number, _ in poll(0.1):
                wire = wires[number]
                piece = wire.socket.recv(1 << 18)
                if not piece:
                    raise SystemExit("the server closed a connection")
                self._take(wire, wire.held + piece if wire.held else piece)

    def _send(self, wire: Wire) -> None:
        text = self.payloads[self.number % len(self.payloads)]
        if SLOT in text:
            text = text.replace(SLOT, b"%08d" % self.number)
        self.number += 1
        wire.since = time.perf_counter()
        wire.socket.send(text)

    def _take(self, wire: Wire, text: bytes) -> None:
        if not wire.want:
            end = text.find(b"\r\n\r\n")
            if end < 0:
                wire.held = text
                return
            head = text[:end].lower()
            place = head.find(b"content-length: ")
            if place < 0:
                raise SystemExit(f"a reply without a length: {head!r}")
            wire.want = end + 4 + int(head[place + 16 :].split(b"\r", 1)[0])
        if len(text) < wire.want:
            wire.held = text
            return
        self.times.append(time.perf_counter() - wire.since)
        status = text[9:12].decode()
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if self.keep >= 0:
            self.bodies.add(text[text.index(b"\r\n\r\n") + 4 + self.keep : wire.want])
        wire.held, wire.want = b"", 0
        self._send(wire)


def cpu(pid: int) -> float:
    """Seconds of CPU that a process and its threads have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def main(file: str, plan: str) -> None:
    given = json.loads(plan)
    payloads = [text.encode() for text in json.loads(Path(file).read_text())]
    generator = Generator(given["port"], payloads, given["connections"], given["keep"])
    generator.until(time.perf_counter() + min(0.3, given["seconds"] / 4))
    generator.times.clear()
    began, mine, its = time.perf_counter(), time.process_time(), cpu(given["server"])
    generator.until(began + given["seconds"])
    seconds = time.perf_counter() - began
    mine, its = time.process_time() - mine, cpu(given["server"]) - its
    times = sorted(generator.times)
    n = len(times)
    told = {
        "rate": n / seconds,
        "p50_ms": times[n // 2] * 1000,
        "p99_ms": times[n * 99 // 100] * 1000,
        "server_cpu_us": its / n * 1e6,
        "generator_cpu_us": mine / n * 1e6,
        "generator_busy": mine / seconds,
        "requests": n,
        "statuses": generator.statuses,
    }
    if generator.keep >= 0:
        told["bodies"] = [body.decode() for body in generator.bodies]
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
