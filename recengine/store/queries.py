"""SQL by name: `query("store/read_events")` is the text of `sql/store/read_events.sql`.

Why files: a query is read, explained and tested on its own, and nothing can be pasted into it; values come in as
`$name` parameters.
"""

from functools import cache
from importlib.resources import files

__all__ = ("query",)


@cache
def query(name: str) -> str:
    """Read the query `folder/name`. Cost: a file read once a process."""
    folder, _, stem = name.partition("/")
    return files("recengine.sql").joinpath(folder, f"{stem}.sql").read_text(encoding="utf-8")
