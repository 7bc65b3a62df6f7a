"""What happens while a shop is open: record, forget."""

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from recengine.cli import show
from recengine.client import Client
from recengine.engine import Engine
from recengine.errors import BadUsage, RecEngineError, RowsRefused, SourceUnreadable, StoreLocked
from recengine.types import Event, Receipt

__all__ = ("forget", "record")

BATCH = 1000
"""Events stored together: what a server takes in one request."""
CHUNK = 1 << 18
"""Bytes read at once; a pipe gives what is there, so that an event does not wait for later ones."""
LONGEST = 1 << 16
"""Bytes of a line."""

_FIELDS = {
    "user": "user_id",
    "item": "item_id",
    "type": "type",
    "value": "value",
    "order": "order",
    "event_id": "event_id",
    "session_id": "session_id",
    "request_id": "request_id",
}
_event = msgspec.json.Decoder(Event).decode


def record(args: Namespace) -> None:
    """Store what users did, durably and felt at once: straight into a data directory, or through its server."""
    event = {field: getattr(args, name) for name, field in _FIELDS.items() if getattr(args, name) is not None}
    if bool(args.dir) == bool(args.url):
        raise BadUsage("record: expected a data directory, or --url", hint="a directory that is served needs --url")
    if args.file and event:
        raise BadUsage("record: --file holds whole events, so --user, --item and the like do not go with it")
    if not args.file and not {"user_id", "item_id"} <= set(event):
        raise BadUsage("record: expected --user and --item, or --file", hint="--file takes JSON lines, - is stdin")
    with _sink(args) as sink:
        receipt: Receipt = _stream(args, sink.record) if args.file else sink.record(event)

    def human() -> None:
        known = f", {receipt.duplicates} known already" if receipt.duplicates else ""
        show.line(f"{receipt.stored} stored{known}")

    show.result(args.json, receipt, human)


def forget(args: Namespace) -> None:
    """Forget a user in every home of user data."""
    try:
        with Engine.open(args.dir) as engine:
            known = engine.forget(args.user)
    except StoreLocked as err:
        raise StoreLocked(err.message, hint="where a server holds it: curl -X DELETE .../v1/users/USER") from err
    what = f"{args.user}: forgotten" if known else f"{args.user}: nobody of that name is known"
    show.result(args.json, {"user_id": args.user, "forgotten": known}, lambda: show.line(what))


def _sink(args: Namespace) -> AbstractContextManager[Any]:
    """Open what takes events, an engine or a client: both have `record`."""
    if args.url:
        return Client(args.url, args.key)
    try:
        return Engine.open(args.dir)
    except StoreLocked as err:
        raise StoreLocked(err.message, hint="where a server holds it, tell the server: --url http://HOST:PORT") from err


def _stream(args: Namespace, take: Callable[[list[Event]], Receipt]) -> Receipt:
    """Store the events of a file, batch by batch; an error says up to which line they are stored."""
    stored = duplicates = through = 0
    with ExitStack() as opened:
        file, size = _opened(args.file, opened)
        progress = opened.enter_context(show.progress(args.json))
        try:
            for first, lines, read in _batches(file):
                events = [_parsed(number, line) for number, line in enumerate(lines, first) if line.strip()]
                if events:
                    receipt = take(events)
                    stored, duplicates = stored + receipt.stored, duplicates + receipt.duplicates
                through = first + len(lines) - 1
                progress("bytes", read, max(size, read))
        except KeyboardInterrupt:
            show.warn(f"{args.file}: lines 1 to {through} are stored")
            raise
        except RecEngineError as err:
            after = f"lines 1 to {through} are stored, those after them are not" if through else "nothing is stored"
            raise type(err)(f"{args.file}: {err.message}", hint=after) from err
    return Receipt(stored=stored, duplicates=duplicates)


def _opened(name: str, opened: ExitStack) -> tuple[BinaryIO, int]:
    """Open the file of events and tell its size; 0 = not known."""
    if name == "-":
        return sys.stdin.buffer, 0
    try:
        file = opened.enter_context(Path(name).open("rb"))  # noqa: SIM115  the stack closes it
    except OSError as err:
        raise SourceUnreadable(f"{name}: {err.strerror}", hint="one JSON object a line; - is stdin") from err
    return file, file.seek(0, 2) - file.seek(0) if file.seekable() else 0


def _batches(file: BinaryIO) -> Iterator[tuple[int, list[bytes], int]]:
    """Give (number of the first line, lines, bytes read) as they come in."""
    rest, number, read = b"", 1, 0
    while chunk := file.read1(CHUNK):  # type: ignore[attr-defined]  # buffered readers have it
        *lines, rest = (rest + chunk).split(b"\n")
        read += len(chunk)
        for start in range(0, len(lines), BATCH):
            yield number, lines[start : start + BATCH], read
            number += len(lines[start : start + BATCH])
        if len(rest) > LONGEST:
            raise RowsRefused(f"line {number}: expected at most {LONGEST} bytes")
    if rest:
        yield number, [rest], read


def _parsed(number: int, line: bytes) -> Event:
    try:
        return _event(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        hint = f"fields: {', '.join(Event.__struct_fields__)}"
        raise RowsRefused(f"line {number}: {err}", hint=hint) from err
