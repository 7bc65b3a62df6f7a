"""What the tests of recovery share: a store whose frames are names, and a small fold that stores them as users."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

from recengine.config import Storage
from recengine.store import directory
from recengine.store.database import FILE, Database
from recengine.store.journal import Journal
from recengine.store.queries import query
from recengine.store.recovery import open_store
from recengine.store.sequence import last_seq, set_ingests_marked, set_last_seq
from recengine.types.frames import IngestFrame, UserFrame, decode_frame, encode_frame

STORAGE = Storage(threads=1, segment_bytes=4096, reserve_bytes=0)


def payload(name: str) -> bytes:
    return encode_frame(UserFrame(name, {}, 0, merge=False))


class Names:
    """An open store; `told` are the names that were acknowledged."""

    def __init__(self, folder: Path, **how) -> None:
        self.folder = folder
        self.database: Database
        self.journal: Journal
        self.database, self.journal = open_store(folder, STORAGE, **how)
        self.told: list[str] = []
        self.replay()

    def replay(self) -> None:
        """Store what the journal holds and the database does not."""
        for first, payloads in self.journal.read(last_seq(self.database.read())):
            self.store(payloads, first + len(payloads) - 1)

    def say(self, *names: str, flush: bool = True) -> None:
        """Acknowledge names; with `flush`, bring them to the database too."""
        payloads = [payload(name) for name in names]
        first = self.journal.write(payloads)
        self.told += names
        if flush:
            self.store(payloads, first + len(payloads) - 1)

    def store(self, payloads: list[bytes], seq: int) -> None:
        frames = [decode_frame(p) for p in payloads]
        names = [f.user_id for f in frames if isinstance(f, UserFrame)]
        marks = [f.ingests for f in frames if isinstance(f, IngestFrame)]

        def write(cursor) -> None:
            table = pa.table({"row": np.arange(len(names), dtype=np.int32), "id": names or pa.array([], pa.string())})
            with cursor.registered("new_ids", table):
                cursor.execute(query("store/append_user_ids"))
            if marks:
                set_ingests_marked(cursor, max(marks))
            set_last_seq(cursor, seq)

        self.database.write(write)

    def names(self) -> list[str]:
        return sorted(self.database.read().table(query("store/read_user_ids"))["id"].to_pylist())

    def copied(self, target: Path) -> Path:
        """Copy the directory as a crash now would leave it."""
        shutil.copytree(self.folder, target)
        return target

    def close(self) -> None:
        self.journal.close()
        self.database.close()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


def made(folder: Path) -> Names:
    directory.create(folder)
    return Names(folder)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a directory; what a refused start must leave as it was."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def wal(folder: Path) -> Path:
    return folder / f"{FILE}.wal"
