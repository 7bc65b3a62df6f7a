"""`[store]`: limits of the database and of the journal before it."""

from typing import Annotated

import msgspec
from msgspec import Meta

__all__ = ("Storage",)


class Storage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What DuckDB and the journal may take."""

    memory_limit: Annotated[str, Meta(pattern=r"^\d+(\.\d+)?\s?(MB|GB|MiB|GiB)$", description="of DuckDB's buffers")] = "4GB"
    threads: Annotated[int, Meta(ge=0, le=1024, description="of DuckDB; 0 = all cores")] = 0
    segment_bytes: Annotated[int, Meta(ge=1024, le=1 << 30, description="a file of the journal is closed at this size")] = 64 << 20
    segment_seconds: Annotated[float, Meta(gt=0, description="or at this age")] = 3600.0
    reserve_bytes: Annotated[int, Meta(ge=0, le=1 << 30, description="disk kept back, for the database to finish in when the disk is full")] = 1 << 20
    snapshot_bytes: Annotated[int, Meta(ge=1024, description="of journal, after which a new verified copy of the database replaces it")] = 256 << 20
