"""A process to be watched and failed: it acknowledges numbered names through a journal and DuckDB, line by line.

`python -m tests.crash.journal_child FOLDER LIBRARY CALL PART N FOREVER`: arms the shim (CALL 0 = not at all), says 60
groups of three names, prints each one that was acknowledged, and goes on where a write was refused. After 45 groups the
disk is well again, and from then on nothing may be refused.
"""

import errno
import sys
from pathlib import Path

from recengine.errors import StoreFailed
from recengine.store.sequence import count_ingest
from recengine.store.snapshot import Keeper
from recengine.types.frames import IngestFrame, encode_frame
from tests.crash.shim import Faults
from tests.unit.journaled import STORAGE, Names, payload


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def ingest(store: Names) -> None:
    """What an ingest leaves: the count, in a transaction that no frame brings again, and then a frame that tells of it."""
    number = store.database.write(count_ingest)
    store.journal.write([encode_frame(IngestFrame(number))])


def main(folder: Path, library: Path, call: int, part: str, n: int, forever: int) -> None:
    store = Names(folder)
    keeper = Keeper(store.database, store.journal, STORAGE)
    faults = Faults(library)
    say("ready")
    if call:
        faults.arm(call, part, n, forever=bool(forever), error=errno.EIO)
    stored = store.journal.last_seq
    for group in range(60):
        if group == 45:
            say("calls", faults.disarm())
        names = [f"{store.journal.last_seq + 1}.{group}.{k}" for k in range(3)]
        try:
            store.journal.write([payload(name) for name in names])
        except StoreFailed:
            if not call or group >= 45:
                raise
            continue
        say("told", *names)
        if group % 4 == 3:
            for first, payloads in store.journal.read(stored):
                try:
                    store.store(payloads, first + len(payloads) - 1)
                except StoreFailed:
                    if not call or group >= 45:
                        raise
                    break
                stored = first + len(payloads) - 1
        if group % 15 in {7, 14}:
            try:
                ingest(store) if group % 15 == 7 else keeper.keep()
            except StoreFailed:
                if not call or group >= 45:
                    raise
    say("done")
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
