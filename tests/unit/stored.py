"""What tests of the store share: small limits, one noted value, and code in a process of its own."""

import subprocess
import sys
import textwrap

from recengine.config import Storage
from recengine.store.database import Database
from recengine.store.queries import query

LIMITS = Storage(threads=1)


def note(value: str):
    return lambda cursor: cursor.execute(query("store/insert_meta"), {"key": "note", "value": value})


def notes(database: Database) -> list[str]:
    return [value for (value,) in database.read().rows(query("store/read_meta"), {"key": "note"})]


def in_process(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
