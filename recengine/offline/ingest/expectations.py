"""Hold incoming data to what `[[expect]]` says of their columns, before anything of them is stored.

Part of the ingest stage; all files of a source are looked at together, each in a few passes of DuckDB over the columns
that are spoken of. Comes in: a source and its expectations. Goes out: a `Screening`: what held, which rows are set
aside, which numbers are clipped. Broken hard expectations refuse the whole source. A missing value is at fault only
where `null_share` says so.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from recengine.config import Expectation, microseconds
from recengine.errors import ExpectationFailed
from recengine.offline.ingest.write import Aside, ExpectationResult
from recengine.store import checking, compose
from recengine.store.compose import checks
from recengine.store.files import PART, Clips, Foreign, Part
from recengine.store.kinds import Family, family
from recengine.store.origins import Origin
from recengine.types import I64

__all__ = ("Screening", "screen")

_OUTCOMES: Mapping[str, Literal["refused", "quarantined", "clipped", "reported"]] = {
    "refuse": "refused",
    "quarantine": "quarantined",
    "clip": "clipped",
    "report": "reported",
}
_SHOWN = 60


@dataclass(frozen=True)
class Screening:
    """What came of the expectations of one source."""

    results: tuple[ExpectationResult, ...] = ()
    asides: tuple[Aside, ...] = ()
    """Of each file; none = nothing is set aside."""
    clips: tuple[Clips, ...] = ()
    """Of each file."""
    repaired: Mapping[str, int] = field(default_factory=dict)
    numbers: frozenset[str] = frozenset()
    """Columns that are taken for numbers, for rows with anything else are not stored."""

    def aside(self, file: int) -> Aside:
        """List the rows of a file that are set aside."""
        return self.asides[file] if self.asides else Aside.none()

    def clip(self, file: int) -> Clips:
        """Say which columns of a file are clipped."""
        return self.clips[file] if self.clips else {}


class _Cell(NamedTuple):
    """One column of one file: its SQL, and what it is."""

    value: str
    kind: Family
    column: str
    field: str = ""
    """Of the column; empty = it is the column."""


@dataclass
class _Check:
    """One thing that an expectation says, and what was found so far."""

    of: Expectation
    what: str
    expected: str
    outcome: Literal["refused", "quarantined", "clipped", "reported"]
    rows: int = 0
    row: int | None = None
    file: str = ""
    came: str = ""
    newest: int | None = None
    columns: int = 0
    """Files that have the column."""
    asides: dict[int, I64] = field(default_factory=dict)

    def fault(self, cell: _Cell) -> str:
        """Write the SQL of the rows that are at fault."""
        value, kind, of = cell.value, cell.kind, self.of
        if self.what == "type":
            return checks.not_of_type(value, kind, of.type or "number")
        if self.what == "min":
            least = of.min if of.min is not None else -np.inf
            clips = f"{checks.number_of(value, kind)} < {least!r}"
            return clips if self.outcome == "clipped" else checks.below(value, kind, least)
        if self.what == "max":
            most = of.max if of.max is not None else np.inf
            clips = f"{checks.number_of(value, kind)} > {most!r}"
            return clips if self.outcome == "clipped" else checks.above(value, kind, most)
        if self.what == "values":
            return checks.not_among(value, kind, of.values or ())
        if self.what == "refers":
            return checks.not_described(value, kind, of.refers or "items")
        return f"{checks.present(value, kind)} IS NULL"

    def note(self, rows: int, row: int | None, came: str, file: str) -> None:
        """Add what one file has."""
        if rows and self.row is None:
            self.row, self.came, self.file = row, came, file
        self.rows += rows


def screen(
    foreign: Foreign,
    source: str,
    origins: list[Origin],
    expectations: Sequence[Expectation],
    *,
    roles_of: Callable[[Part], Mapping[str, str]],
    described: Callable[[str], pa.Table],
    at: int,
) -> Screening:
    """Look at all files of `source`.

    Parameters
    ----------
    roles_of : finds role -> column of a file; an expectation names a column, or a role.
    described : lists the ids (a table with the column id) of items or users that are described.
    at : now, in microseconds.

    Raises
    ------
    ExpectationFailed : what must hold does not; it names the first row.

    Cost: one pass over the columns that are spoken of, and one more for every fault there is.
    """
    if not expectations:
        return Screening()
    found = [check for expectation in expectations for check in _checks(expectation)]
    checking.stage(foreign.cursor)
    for what in sorted({e.refers for e in expectations if e.refers is not None}):
        checking.add_described(foreign.cursor, what, described(what))
        if what == source:
            _add_own(foreign, what, origins, roles_of)
    rows = 0
    clips: list[Clips] = []
    numbers: set[str] = set()
    for file, origin in enumerate(origins):
        part = foreign.open(origin, text=(lambda _: True) if origin.reader == "read_csv" else None)
        cells = {e: _cell(foreign, part, roles_of(part), e.column) for e in expectations}
        rows += _look(foreign, file, origin.label, found, cells)
        clips.append(_bounds(cells))
        numbers |= {cell.column for e, cell in cells.items() if cell is not None and _numeric(e)}
    for place, check in enumerate(found):
        if check.what == "unique":
            _repeated(foreign, place, check, origins)
    return replace(_judged(found, origins, clips, rows, at), numbers=frozenset(numbers))


def _checks(expectation: Expectation) -> list[_Check]:
    """Take an expectation apart into what is counted on its own."""
    e, outcome = expectation, _OUTCOMES[expectation.otherwise]
    other: Literal["refused", "quarantined", "clipped", "reported"] = "quarantined" if outcome == "clipped" else outcome
    said: list[tuple[str, str]] = []
    kind = e.type or ("number" if outcome == "clipped" else None)
    if kind is not None:
        said.append(("type", f"a value of type {kind}"))
    if e.min is not None:
        said.append(("min", f"at least {e.min:g}"))
    if e.max is not None:
        said.append(("max", f"at most {e.max:g}"))
    if e.values is not None:
        said.append(("values", f"one of {', '.join(e.values[:10])}{' ...' if len(e.values) > 10 else ''}"))
    if e.refers is not None:
        said.append(("refers", f"the id of one of the described {e.refers}"))
    if e.null_share is not None:
        said.append(("null", f"a value in all but {e.null_share:.4g} of the rows"))
    if e.unique:
        said.append(("unique", "no value twice"))
    if e.fresh is not None:
        said.append(("fresh", f"a moment within the last {e.fresh}"))
    return [_Check(expectation, what, text, outcome if what in {"min", "max"} else other) for what, text in said]


def _cell(foreign: Foreign, part: Part, roles: Mapping[str, str], column: str) -> _Cell | None:
    """Find a column by its name, by its role, or as a field of the column `attributes`; None = it is not there."""
    name = column if column in part.columns else roles.get(column)
    if name is not None:
        return _Cell(compose.quoted(name), family(part.columns[name]), name)
    if family(part.columns.get("attributes", "")) == "struct":
        for inner, kind, *_ in foreign.cursor.rows(compose.describe_fields("attributes", PART)):
            if inner == column:
                return _Cell(compose.field("attributes", inner), family(kind), "attributes", inner)
    return None


def _numeric(of: Expectation) -> bool:
    bounded = of.min is not None or of.max is not None
    return of.otherwise != "report" and (bounded or of.type in {"number", "integer"})


def _bounds(cells: Mapping[Expectation, _Cell | None]) -> Clips:
    """Find the bounds of what is clipped; of two expectations of one column the tighter ones count."""
    found: dict[tuple[str, str], tuple[float | None, float | None]] = {}
    for e, cell in cells.items():
        if e.otherwise == "clip" and cell is not None:
            where = (cell.column, cell.field)
            least, most = found.get(where, (None, None))
            found[where] = (
                max((bound for bound in (least, e.min) if bound is not None), default=None),
                min((bound for bound in (most, e.max) if bound is not None), default=None),
            )
    return found


def _add_own(foreign: Foreign, what: str, origins: list[Origin], roles_of: Callable[[Part], Mapping[str, str]]) -> None:
    """Let the ids of a source of items (or users) count as described when it refers to itself."""
    for origin in origins:
        part = foreign.open(origin, text=(lambda _: True) if origin.reader == "read_csv" else None)
        column = roles_of(part)[what.removesuffix("s")]
        checking.add_described(foreign.cursor, what, checks.id_of(compose.quoted(column), family(part.columns[column])))


def _look(
    foreign: Foreign, file: int, label: str, found: list[_Check], cells: Mapping[Expectation, _Cell | None]
) -> int:
    """Count what one file has of each fault, and find the rows that may be set aside; returns its rows."""
    here = [(place, check, cell) for place, check in enumerate(found) if (cell := cells[check.of]) is not None]
    for _, check, _ in here:
        check.columns += 1
    faults = [(check, cell, check.fault(cell)) for _, check, cell in here if check.what not in {"unique", "fresh"}]
    moments = [(check, checks.moment_of(cell.value, cell.kind)) for _, check, cell in here if check.what == "fresh"]
    rows, counts, newest = checking.tally(foreign.cursor, [f for *_, f in faults], [m for _, m in moments])
    for (check, _), moment in zip(moments, newest, strict=True):
        check.newest = max((m for m in (check.newest, moment) if m is not None), default=None)
    for (check, cell, fault), count in zip(faults, counts, strict=True):
        first: tuple[int | None, str] = (None, "")
        if count and check.row is None:
            first = checking.first_fault(foreign.cursor, fault, cell.value)
        check.note(count, *first, label)
        if count and check.outcome == "quarantined":
            check.asides[file] = checking.faulty_rows(foreign.cursor, [fault])[0]
    for place, check, cell in here:
        if check.what == "unique":
            checking.add_checked(foreign.cursor, place, file, cell.value, cell.kind)
    return rows


def _repeated(foreign: Foreign, place: int, check: _Check, origins: list[Origin]) -> None:
    files, rows, values = checking.repeated(foreign.cursor, place)
    if len(rows):
        check.note(len(rows), int(rows[0]), values[0], origins[int(files[0])].label)
        check.asides = {int(file): rows[files == file] for file in np.unique(files)}


def _judged(
    found: list[_Check],
    origins: list[Origin],
    clips: list[Clips],
    rows: int,
    at: int,
) -> Screening:
    asides = [Aside.none() for _ in origins]
    repaired: Counter[str] = Counter()
    results = []
    for check in found:
        result = _result(check, rows, at)
        results.append(result)
        if result.outcome == "clipped":
            repaired[f"{check.of.column} is not {check.expected}: clipped"] += check.rows
        if result.outcome == "quarantined":
            for file, bad in check.asides.items():
                reason = f"{check.of.column}: expected {check.expected}"
                fresh = Aside(bad, np.zeros(len(bad), dtype=np.int16), (reason,))
                asides[file] = asides[file].and_then(fresh)
    broken = [result for result in results if result.outcome == "refused"]
    if broken:
        more = f"; and {len(broken) - 1} more that do not hold" if len(broken) > 1 else ""
        raise ExpectationFailed(
            "; ".join(_said(result) for result in broken[:3]) + (more if len(broken) > 3 else ""),
            hint="correct the data, or let `otherwise` of the expectation say what else to do; nothing was written",
        )
    return Screening(tuple(results), tuple(asides), tuple(clips), dict(repaired))


def _result(check: _Check, rows: int, at: int) -> ExpectationResult:
    """Say what came of a check."""
    of = check.of
    place = f"{of.source}.{of.column}"
    if rows and not check.columns:
        outcome: Literal["refused", "reported"] = "refused" if of.otherwise == "refuse" else "reported"
        return ExpectationResult(
            place=place, expected=check.expected, came="no such column", rows=rows, outcome=outcome
        )
    broken = check.rows > 0
    came = repr(check.came[:_SHOWN])
    if check.what == "null":
        share = check.rows / rows if rows else 0.0
        broken = share > (of.null_share or 0.0)
        came = f"none in {share:.4g} of the rows"
    if check.what == "fresh" and of.fresh is not None:
        broken = rows > 0 and (check.newest is None or check.newest < at - microseconds(of.fresh))
        came = (
            "no moment"
            if check.newest is None
            else f"{datetime.fromtimestamp(check.newest / 1e6, UTC):%Y-%m-%dT%H:%M:%SZ}"
        )
    if not broken:
        return ExpectationResult(place=place, expected=check.expected)
    return ExpectationResult(
        place=place,
        expected=check.expected,
        came=came,
        rows=check.rows,
        row=check.row,
        file=check.file,
        outcome=check.outcome,
    )


def _said(result: ExpectationResult) -> str:
    where = f" of {result.file}" if result.file else ""
    rows = f" in {result.rows:,} rows" if result.rows else ""
    first = f", the first of them row {result.row:,}{where}" if result.row is not None else ""
    return f"{result.place}: expected {result.expected}, came {result.came}{rows}{first}"
