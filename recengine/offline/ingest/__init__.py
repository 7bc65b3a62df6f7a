"""The first stage of the offline spine: foreign data in, events and versions in the store out.

Comes in: files, frames or rows of events, items and users. Goes out: an `IngestReport`. One call is one transaction:
either all of it is stored, or nothing. Bad rows are set aside in a quarantine Parquet; what the store has already is
not stored again. Items and users are read before events, so that rows are given in the order of the catalogue where
there is one.

In this folder: `pull` fetches what a `[[source]]` has, `external` reads tables for features; `roles` finds the
columns, `attributes` their kinds, `order` the meaning of time; `events` and `versions` read the files; `ids` gives
rows; `write` is what they share during one call.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa

from recengine.config import Cleaning, EventType, Expectation, Moments
from recengine.errors import BadColumn, DataError
from recengine.offline.ingest.attributes import check_split, refuse_unknown_split
from recengine.offline.ingest.cleaning import MachinesFound
from recengine.offline.ingest.events import ingest_events
from recengine.offline.ingest.expectations import Screening, screen
from recengine.offline.ingest.external import External, external_roles, ingest_external
from recengine.offline.ingest.roles import check_roles, find_roles
from recengine.offline.ingest.versions import ingest_versions
from recengine.offline.ingest.write import Machines, OrderUnit, Progress, Quarantine, SourceReport, Write
from recengine.store.checking import described
from recengine.store.cursor import Cursor
from recengine.store.database import Database
from recengine.store.files import Foreign, Part
from recengine.store.origins import known_rows, origins
from recengine.store.sequence import count_ingest
from recengine.store.vocab import Draft, Vocabularies

__all__ = ("IngestReport", "SourceReport", "ingest")

_CATALOGUES: tuple[Literal["items", "users"], ...] = ("items", "users")


class IngestReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one ingest did."""

    sources: tuple[SourceReport, ...]
    """In the order in which they were read: items, users, events."""
    quarantine: tuple[str, ...] = ()
    """The Parquet files with the bad rows."""
    seconds: float = 0.0


def ingest(
    database: Database,
    vocabularies: Vocabularies,
    *,
    events: object = None,
    items: object = None,
    users: object = None,
    columns: Mapping[str, str] | None = None,
    split: Mapping[str, str] | None = None,
    order_unit: OrderUnit = "auto",
    strict: bool = False,
    quarantine: Path,
    types: tuple[EventType, ...],
    cleaning: Cleaning | None = None,
    expectations: Mapping[str, Sequence[Expectation]] | None = None,
    progress: Progress | None = None,
    external: External | None = None,
    foreign: Foreign | None = None,
    then: Callable[[Cursor, tuple[SourceReport, ...]], None] | None = None,
) -> IngestReport:
    """Store what is new in the given sources, in one transaction on the writer thread.

    Parameters
    ----------
    events, items, users : a path, glob, folder, list of these; a pandas, polars or pyarrow frame; a dict of columns; a
        list of dicts or of `types.Event`, `types.Item`, `types.User`. Files: CSV, Parquet, JSON lines, text also .gz
        and .zst.
    columns : {role: column}: user item type value order event_id session_id request_id valid_from available; what is
        not given is found by name.
    split : {attribute: separator}: texts that hold lists, such as {"genres": "|"}; each in some file of items or users.
    order_unit : of a numeric order column: s, ms, us, ns since 1970, or integers that only sort; auto decides by their
        size.
    strict : refuse everything when one row is bad.
    quarantine : the folder for bad rows.
    types : the configured event types; others are stored, count 1.0 and are reported.
    expectations : {events | items | users | table: what its columns must be like}; table is `external`.
    cleaning : what events are screened for, and what is put right; None = the defaults.
    external : a table that features read, beside or instead of the others.
    foreign : holds what was pulled; the caller closes it. None = one is opened.
    then : called with what became of the sources, in the same transaction.

    Raises
    ------
    SourceUnreadable, BadColumn : a source cannot be read or mapped; nothing was written.
    ExpectationFailed : a column is not what it must be; nothing was written.
    RowsRefused : `strict` met a bad row; nothing was written.

    Cost: about 0.25 us an event read from Parquet on two cores.
    """
    start = time.perf_counter()
    given = {"items": items, "users": users, "events": events}
    given = {name: source for name, source in given.items() if source is not None}
    if not given and external is None:
        raise DataError("nothing to ingest", hint="give events, items or users")
    if order_unit not in {"auto", "s", "ms", "us", "ns", "integer"}:
        raise BadColumn(f"order unit {order_unit!r} is not known", hint="auto, s, ms, us, ns or integer")
    columns = dict(columns or {})
    check_roles(columns)
    check_split(split or {})
    sources = {name: origins(source, where=name) for name, source in given.items()}
    cleaning, expected = cleaning or Cleaning(), expectations or {}
    now = datetime.now(UTC)

    def screened(write: Write, source: str) -> Screening:
        listed = external.origins if external is not None and source == "table" else sources[source]

        def roles_of(part: Part) -> Mapping[str, str]:
            if external is not None and source == "table":
                return external_roles(external, part)
            where = f"{source} {part.origin.label}"
            return find_roles(source, list(part.columns), write.columns, where=where, alone=write.alone)

        def known(what: str) -> pa.Table:
            return described(write.cursor, what)

        said = expected.get(source, ())
        return screen(write.foreign, source, listed, said, roles_of=roles_of, described=known, at=write.at)

    def attempt(machines: Machines | None) -> IngestReport:
        aside = Quarantine(quarantine, now.strftime("%Y%m%dT%H%M%S%fZ"), strict=strict)
        drafts = (
            Draft(vocabularies.users, "user_ids"),
            Draft(vocabularies.items, "item_ids"),
            Draft(vocabularies.types, "event_types"),
        )

        def run(cursor: Cursor) -> tuple[SourceReport, ...]:
            mine = nullcontext(foreign) if foreign is not None else None
            with mine or Foreign(database.storage.threads, database.storage.memory_limit, cleaning.timezone) as reading:
                write = Write(
                    cursor,
                    reading,
                    *drafts,
                    columns=columns,
                    split=split or {},
                    alone=len(sources) == 1,
                    order_unit=order_unit,
                    at=int(now.timestamp() * 1e6),
                    quarantine=aside,
                    progress=progress,
                    totals={"table": 0} | {name: known_rows(listed) for name, listed in sources.items()},
                    cleaning=cleaning,
                    possible=Moments.of(cleaning),
                    machines=machines,
                    configured=frozenset(t.type for t in types),
                )
                reports = [
                    ingest_versions(write, name, sources[name], screened(write, name))
                    for name in _CATALOGUES
                    if name in sources
                ]
                refuse_unknown_split(write.split, write.seen)
                if "events" in sources:
                    reports.append(ingest_events(write, sources["events"], screened(write, "events")))
                if external is not None:
                    reports.append(ingest_external(write, external, screened(write, "table")))
                if then is not None:
                    then(cursor, tuple(reports))
                if any(report.stored for report in reports):
                    count_ingest(cursor)
                return tuple(reports)

        def committed() -> None:
            for draft in drafts:
                draft.keep()
            aside.keep()

        try:
            reports = database.write(run, committed=committed)
        finally:
            aside.discard()
        return IngestReport(sources=reports, quarantine=aside.files, seconds=time.perf_counter() - start)

    try:
        return attempt(None)
    except MachinesFound as found:  # nothing was written
        return attempt(found.machines)
