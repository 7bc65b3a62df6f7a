"""`[[source]]`, `[[expect]]`, `[cleaning]`: where data comes from, what it must look like, what is put right."""

import math
from datetime import UTC, date, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from recengine.config.spans import SPAN, microseconds

__all__ = ("Cleaning", "Expectation", "Source")

Span = Annotated[str, Meta(pattern=SPAN)]
Column = Annotated[str, Meta(min_length=1, max_length=200)]


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place that `recengine ingest --source NAME` pulls from."""

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    into: Annotated[Literal["events", "items", "users", "table"], Meta(description="what its rows are; table = external data that features read")]
    uri: Annotated[str, Meta(min_length=1, max_length=2000, description="postgresql://..., sqlite:///FILE, a file, a glob, or s3://... .parquet; ${NAME} is taken from the environment")]
    table: Annotated[Annotated[str, Meta(max_length=200)] | None, Meta(description="of the database; or query")] = None
    query: Annotated[Annotated[str, Meta(max_length=20_000)] | None, Meta(description="a SELECT of the database; or table")] = None
    watermark: Annotated[Column | None, Meta(description="a column that only grows: a later pull takes what is at or above the last one")] = None
    columns: Annotated[dict[str, Column], Meta(description="role -> column, as `ingest --columns`; for a table: item or user, and time")] = {}
    split: Annotated[dict[str, str], Meta(description="column -> separator of texts that hold lists")] = {}
    every: Annotated[Span | None, Meta(description="a server pulls so often by itself; none = only `recengine ingest --source` does")] = None
    max_age: Annotated[Span | None, Meta(description="a last good pull older than this makes `doctor` and /health/ready say so")] = None

    def __post_init__(self) -> None:
        if self.table is not None and self.query is not None:
            raise ValueError(f"source {self.name!r} takes one of table and query")
        database = self.uri.startswith(("postgresql://", "postgres://", "sqlite:///"))
        if not self.uri.startswith("${") and database != (self.table is not None or self.query is not None):
            what = "one of table and query" if database else "neither table nor query: its uri names no database"
            raise ValueError(f"source {self.name!r} takes {what}")
        if self.watermark is not None and not database and not self.uri.startswith("${"):
            raise ValueError(f"source {self.name!r}: a watermark is for databases; files are read whole")
        if self.into == "table":
            keys = set(self.columns) - {"item", "user", "time"}
            if keys or {"item", "user"} <= set(self.columns) or self.split:
                raise ValueError(f"source {self.name!r} into a table takes columns item or user, and time; and no split")


class Expectation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a column of incoming data must be like."""

    source: Annotated[str, Meta(description="events, items, users, or the name of a source")]
    column: Column
    type: Annotated[Literal["number", "integer", "text", "bool", "timestamp"] | None, Meta(description="every value can be read as this")] = None
    min: float | None = None
    max: float | None = None
    values: Annotated[tuple[str, ...] | None, Meta(description="allowed values")] = None
    null_share: Annotated[Annotated[float, Meta(ge=0, le=1)] | None, Meta(description="at most this share may be missing")] = None
    unique: Annotated[bool, Meta(description="no value stands there twice")] = False
    fresh: Annotated[Span | None, Meta(description="the newest value is no older")] = None
    refers: Annotated[Literal["items", "users"] | None, Meta(description="every value is the id of a described item or user")] = None
    otherwise: Annotated[Literal["refuse", "quarantine", "clip", "report"], Meta(description="refuse the whole batch; set the rows aside; clip a number to min and max; or only say so")] = "refuse"

    def __post_init__(self) -> None:
        where = f"expectation of {self.source}.{self.column}"
        said = (self.type, self.min, self.max, self.values, self.null_share, self.fresh, self.refers)
        if not self.unique and all(what is None for what in said):
            raise ValueError(f"{where} says nothing: give type, min, max, values, null_share, unique, fresh or refers")
        if any(bound is not None and not math.isfinite(bound) for bound in (self.min, self.max)):
            raise ValueError(f"{where}: min and max are finite")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"{where}: min {self.min:g} is above max {self.max:g}")
        if self.values == ():
            raise ValueError(f"{where}: values lists nothing")
        if self.otherwise == "clip" and self.min is None and self.max is None:
            raise ValueError(f"{where}: clip needs min or max")
        if self.otherwise in {"quarantine", "clip"} and self.fresh is not None:
            raise ValueError(f"{where}: data that are not fresh can be refused or reported, no row of them is at fault")


class Cleaning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What incoming events are screened for, and what is put right."""

    timezone: Annotated[str, Meta(min_length=1, max_length=60, description="of moments that name none")] = "UTC"
    earliest: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description="a moment before this is impossible")] = "1990-01-01"
    ahead: Annotated[Span, Meta(description="a moment further in the future than this is impossible")] = "1d"
    bot_events: Annotated[int, Meta(ge=0, description="a user with more events within one minute is taken for a machine, and its events of that day are set aside; 0 = never")] = 600
    repeat_seconds: Annotated[float, Meta(ge=0, le=86_400, description="the same user, item and type again within so many seconds is a duplicate; 0 = only what is the same in all")] = 0.0
    clip_values: Annotated[float, Meta(ge=0, le=0.5, description="clip values below this quantile and above 1 - this; 0 = not at all")] = 0.0

    def __post_init__(self) -> None:
        try:
            earliest = date.fromisoformat(self.earliest)
        except ValueError:
            raise ValueError(f"earliest: {self.earliest!r} is no day") from None
        if earliest.year < 1970 or earliest > datetime.now(UTC).date():
            raise ValueError(f"earliest: expected a day from 1970 to today, got {self.earliest}")
        microseconds(self.ahead)
        if self.timezone != "UTC":
            try:
                ZoneInfo(self.timezone)
            except (OSError, ValueError, LookupError):
                raise ValueError(f"timezone: {self.timezone!r} is not known, such as Europe/Berlin") from None
