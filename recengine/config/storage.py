"""`[store]`: limits of the database."""

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = ("Storage",)


class Storage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What DuckDB may take."""

    memory_limit: Annotated[str, Meta(pattern=r"^\d+(\.\d+)?\s?(MB|GB|MiB|GiB)$", description="of DuckDB's buffers")] = "4GB"
    threads: Annotated[int, Meta(ge=0, le=1024, description="of DuckDB; 0 = all cores")] = 0
