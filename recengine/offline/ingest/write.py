"""What the readers of events and of versions share during one ingest: the transaction, the drafts, the quarantine.

Part of the ingest stage.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recengine.config import Cleaning, Moments
from recengine.errors import DirectoryInvalid, RowsRefused
from recengine.store.cursor import Cursor
from recengine.store.files import Foreign, Part
from recengine.store.vocab import Draft
from recengine.types import I16, I64

__all__ = (
    "MAX_TIME",
    "Aside",
    "ExpectationResult",
    "Machines",
    "OrderUnit",
    "Progress",
    "Quarantine",
    "SourceReport",
    "Write",
    "encode",
    "moments",
)

OrderUnit: TypeAlias = Literal["auto", "s", "ms", "us", "ns", "integer"]
Progress: TypeAlias = Callable[[str, int, int], None]
"""`progress(source, done, total)`: rows of events, items or users; total 0 = not known. On the writer thread."""

MAX_TIME = 7_258_118_400_000_000
"""2200-01-01 in microseconds; a moment must lie between 1970 and this."""


class ExpectationResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one thing that `[[expect]]` says of a column."""

    place: str
    """source.column."""
    expected: str
    came: str = ""
    """The first value that is not so; empty where all are."""
    rows: int = 0
    """Rows that are not so."""
    row: int | None = None
    """The first of them, counted from 1 in its file."""
    file: str = ""
    """Its file."""
    outcome: Literal["held", "refused", "quarantined", "clipped", "reported"] = "held"


class SourceReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one source: its rows are stored, duplicates (known already), or quarantined."""

    source: str
    """events | items | users."""
    rows: int
    stored: int
    duplicates: int
    quarantined: dict[str, int]
    """Reason -> rows."""
    new_users: int = 0
    new_items: int = 0
    new_types: int = 0
    unknown_types: dict[str, int] = {}
    """Event types that the configuration does not list -> rows; they weigh 1.0."""
    repaired: dict[str, int] = {}
    """What was put right -> rows; they are stored, or duplicates."""
    expectations: tuple[ExpectationResult, ...] = ()
    """In the order of `[[expect]]`."""
    orphans: int = 0
    """Stored events whose item nothing describes yet; 0 where there is no catalogue at all."""
    seconds: float = 0.0


class Machines(NamedTuple):
    """Users and the days, such as 2026-01-31, on which they were machines."""

    users: tuple[str, ...]
    days: tuple[str, ...]


class Aside(NamedTuple):
    """Rows of one file that are set aside before it is read, and why."""

    rows: I64
    """Counted from 1, rising; (n,)."""
    codes: I16
    """Which of the reasons; (n,)."""
    reasons: tuple[str, ...]

    @classmethod
    def none(cls) -> Self:
        """Set nothing aside."""
        return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int16), ())

    def and_then(self, other: "Aside") -> "Aside":
        """Add another's rows; a row in both has the reason that stands here."""
        if not len(other.rows):
            return self
        fresh = ~np.isin(other.rows, self.rows)
        rows = np.concatenate((self.rows, other.rows[fresh]))
        codes = np.concatenate((self.codes, other.codes[fresh] + np.int16(len(self.reasons))))
        order = np.argsort(rows, kind="stable")
        return Aside(rows[order], codes[order], self.reasons + other.reasons)

    def within(self, start: int, rows: int) -> tuple[I64, I16]:
        """Find those among `rows` rows after the first `start`: their places there (k,), and their codes."""
        first, last = np.searchsorted(self.rows, (start + 1, start + rows + 1))
        return self.rows[first:last] - (start + 1), self.codes[first:last]


class Quarantine:
    """Collects bad rows: counts them by reason, keeps them whole in Parquet files that appear once all is committed.

    Parameters
    ----------
    folder : where the files go; made when the first is needed.
    stamp : begins their names.
    strict : refuse instead.
    """

    def __init__(self, folder: Path, stamp: str, *, strict: bool) -> None:
        self._folder = folder
        self._stamp = stamp
        self._strict = strict
        self._waiting: list[tuple[Path, Path]] = []
        self.files: tuple[str, ...] = ()
        """What was kept."""

    def take(
        self, foreign: Foreign, part: Part, source: str, rows: npt.NDArray[np.int64], reasons: list[str]
    ) -> Counter[str]:
        """Take the bad rows (counted from 1) of `part`, and lines that were no rows; returns counts by reason.

        Raises
        ------
        RowsRefused : when strict and there are any.
        """
        counts = Counter(reasons)
        rejected = foreign.rejected()
        if rejected:
            counts["the line does not have the columns of the header"] = rejected
        if not counts:
            return counts
        if self._strict:
            what = ", ".join(f"{reason} ({count:,})" for reason, count in counts.most_common(5))
            where = f"; first in rows {', '.join(str(r) for r in rows[:3])}" if len(rows) else ""
            raise RowsRefused(
                f"{part.origin.label}: {sum(counts.values()):,} bad rows: {what}{where}",
                hint="correct them, or ingest without --strict to set them aside",
            )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise DirectoryInvalid(
                f"{self._folder}: cannot be made: {err.strerror}", hint="check its permissions"
            ) from err
        number = "" if not self._waiting else f"-{len(self._waiting) + 1}"
        final = self._folder / f"{self._stamp}-{source}{number}.parquet"
        waiting = final.with_suffix(".tmp")
        self._waiting.append((waiting, final))
        foreign.quarantine(part, rows, reasons, waiting)
        return counts

    def keep(self) -> None:
        """Give the files their names."""
        for waiting, final in self._waiting:
            waiting.replace(final)
        self.files = tuple(str(final) for _, final in self._waiting)

    def discard(self) -> None:
        """Remove the files of an ingest that failed; those that were kept stay."""
        for waiting, _ in self._waiting:
            waiting.unlink(missing_ok=True)


@dataclass
class Write:
    """One ingest under way."""

    cursor: Cursor
    foreign: Foreign
    users: Draft
    items: Draft
    types: Draft
    columns: Mapping[str, str]
    split: Mapping[str, str]
    alone: bool
    order_unit: OrderUnit
    at: int
    """Now, in microseconds."""
    quarantine: Quarantine
    progress: Progress | None
    totals: Mapping[str, int]
    """Rows of each source, 0 = not known."""
    cleaning: Cleaning
    possible: Moments
    """Which moments can be."""
    machines: Machines | None = None
    """Whom to pass over; None = not known yet."""
    configured: frozenset[str] = frozenset()
    """Event types that the configuration lists."""
    seen: set[str] = field(default_factory=set)
    """The free attributes that the files have, under their names there."""

    def tell(self, source: str, done: int) -> None:
        """Report progress."""
        if self.progress is not None:
            self.progress(source, done, self.totals[source])


def encode(column: pa.Array) -> tuple[npt.NDArray[np.int64], list[str | None]]:
    """Split a column of ids into positions (n,) and the distinct ids, as text, that they point to; null is one too."""
    encoded = column.dictionary_encode(null_encoding="encode")
    names: list[str | None] = pc.cast(encoded.dictionary, pa.string()).to_pylist()
    return encoded.indices.to_numpy(), names


def moments(column: pa.Array, scale: int, divide: int = 1) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Turn numbers into microseconds (n,) and say which are none (null, or not between 1970 and 2200).

    `scale` = microseconds in a unit; `divide` > 1 for units smaller than one (ns: 1000).
    """
    missing = np.asarray(column.is_null()) if column.null_count else np.zeros(len(column), dtype=np.bool_)
    raw: npt.NDArray[Any] = (column.fill_null(0) if column.null_count else column).to_numpy()
    with np.errstate(invalid="ignore"):
        bad = missing | ~((raw >= 0) & (raw <= MAX_TIME // scale * divide))
    raw = np.where(bad, 0, raw) if bad.any() else raw
    if raw.dtype.kind == "f":
        return np.rint(raw * (scale / divide)).astype(np.int64), bad
    return raw.astype(np.int64) * scale if divide == 1 else raw.astype(np.int64) // divide, bad
