"""`recengine demo`: a shop from nothing, what is learned from it, what clicks change, and the shop as a service."""

import socket
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

import msgspec

from recengine.cli import serve, show
from recengine.cli.commands import ingested, recommended, trained
from recengine.client import Client
from recengine.demo import run as demo_run
from recengine.demo.check import Check, checks
from recengine.demo.felt import Felt
from recengine.errors import EngineFault

__all__ = ("demo",)

PATIENCE = 60.0
"""Seconds that the service may take to start, and to stop."""


class DemoAnswer(demo_run.DemoReport, frozen=True, kw_only=True):
    """What the demo did, the checks of its service included."""

    checks: tuple[Check, ...]


def demo(args: Namespace) -> None:
    """Make a shop, show what the engine learns and feels, and serve it: for a person until Ctrl-C, else for a check."""
    with show.progress(args.json) as progress:
        report = demo_run.run(args.dir, progress=progress)
    if not args.json:
        _told(args.dir, report)
    port = _free_port()
    if not args.json and sys.stdin.isatty() and sys.stdout.isatty():
        show.line("")
        serve.serve(Namespace(dir=args.dir, host="127.0.0.1", port=port, key_file=None, json=False))
        return
    found = _checked(args, port, report.felt.user_id)
    if args.json:
        show.document(DemoAnswer(**msgspec.structs.asdict(report), checks=found))
    else:
        show.line(
            f"\nnext: recengine serve {args.dir}, or recengine recommend {args.dir} {report.felt.user_id} --explain"
        )


def _told(folder: Path, report: demo_run.DemoReport) -> None:
    show.line(f"{folder}: {report.users} users, {report.items} items, {report.events} events, seed {report.seed}\n")
    ingested(report.ingest)
    show.line("")
    trained(report.train)
    for reply, titles in zip(report.replies, report.titles, strict=True):
        show.line("")
        recommended([reply], [titles])
    show.line("")
    _clicked(report.felt)


def _clicked(felt: Felt) -> None:
    """Print two lists side by side, and what moved."""
    before, after = ([line.item_id for line in reply.items] for reply in (felt.before, felt.after))
    show.line(f"user {felt.user_id}, whom nobody knew, clicks on the first {len(felt.clicked)} items:")
    rows = [
        [
            rank,
            old,
            "clicked" if old in felt.clicked else "" if old in after else "left",
            new,
            "" if new in before else "new",
        ]
        for rank, (old, new) in enumerate(zip_longest(before, after, fillvalue=""), 1)
    ]
    show.table(["", "before", "", "after", ""], rows)
    show.line(f"{felt.receipt.stored} events durable and felt in {felt.milliseconds:.0f} ms")
    show.table(["left", "", "why"], [[change.item_id, change.title, change.why] for change in felt.left])
    show.table(["came", "", "why"], [[change.item_id, change.title, change.why] for change in felt.came])


def _checked(args: Namespace, port: int, user: str) -> tuple[Check, ...]:
    """Serve the shop from a process of its own, and check it over HTTP."""
    found: list[Check] = []

    def note(check: Check) -> None:
        found.append(check)
        if not args.json:
            show.line(f"  ok  {check.what:<15} {check.milliseconds:8.1f} ms  {check.found}")

    url = f"http://127.0.0.1:{port}"
    if not args.json:
        show.line(f"\nserved at {url}, checked over HTTP:")
    start = time.perf_counter()
    with _server(args.dir, port) as process, Client(url) as client:
        while not client.ready():
            if process.poll() is not None or time.perf_counter() - start > PATIENCE:
                raise EngineFault("the demo's service did not start", hint="its lines on stderr say why")
            time.sleep(0.05)
        note(Check(what="start", found="ready", milliseconds=(time.perf_counter() - start) * 1000))
        for check in checks(client, user):
            note(check)
        start = time.perf_counter()
        process.terminate()
        code = process.wait(PATIENCE)
        if code != 0:
            raise EngineFault(f"the demo's service ended with exit code {code}", hint="its lines on stderr say why")
        note(Check(what="stop", found="exit code 0", milliseconds=(time.perf_counter() - start) * 1000))
    return tuple(found)


@contextmanager
def _server(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-m", "recengine", "serve", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen([*words, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:  # noqa: S603
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
