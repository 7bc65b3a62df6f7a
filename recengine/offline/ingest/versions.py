"""Read item and user files: map columns, find each attribute's kind, set bad rows aside, hand versions to the store.

Part of the ingest stage.
"""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recengine.errors import BadColumn
from recengine.offline.ingest.attributes import Told, plan_attributes
from recengine.offline.ingest.expectations import Screening
from recengine.offline.ingest.roles import find_roles
from recengine.offline.ingest.write import MAX_TIME, Aside, SourceReport, Write, encode
from recengine.store import compose
from recengine.store.catalog import Owner, VersionSink, attributes
from recengine.store.files import Clips, Part
from recengine.store.kinds import family
from recengine.store.origins import Origin

__all__ = ("ingest_versions",)

_ID, _FROM = "id is missing or not an id", "valid_from is no moment between 1970 and 2200"
_REFUSED = {"bool", "struct", "texts", "integers", "floats", "array", "other"}


def ingest_versions(
    write: Write, source: Literal["items", "users"], origins: list[Origin], screening: Screening
) -> SourceReport:
    """Take all files of the source `items` or `users`; called inside the transaction."""
    start = time.perf_counter()
    before = len(write.users.added), len(write.items.added)
    rows = stored = 0
    bad: Counter[str] = Counter()
    for file, origin in enumerate(origins):
        aside, clips = screening.aside(file), screening.clip(file)
        taken, kept, quarantined = _file(write, source, origin, rows, aside, clips)
        rows, stored, bad = rows + taken + quarantined.total(), stored + kept, bad + quarantined
    return SourceReport(
        source=source,
        rows=rows,
        stored=stored,
        duplicates=rows - stored - bad.total(),
        quarantined=dict(bad.most_common()),
        repaired=dict(screening.repaired),
        expectations=screening.results,
        new_users=len(write.users.added) - before[0],
        new_items=len(write.items.added) - before[1],
        seconds=time.perf_counter() - start,
    )


def _file(
    write: Write,
    source: Literal["items", "users"],
    origin: Origin,
    before: int,
    aside: Aside,
    clips: Clips,
) -> tuple[int, int, Counter[str]]:
    owner: Owner = "item" if source == "items" else "user"
    where = f"{source} {origin.label}" if origin.label != source else source
    known = attributes(write.cursor, owner)
    part = write.foreign.open(origin)
    roles = find_roles(source, list(part.columns), write.columns, where=where, alone=write.alone)
    texts = {roles[owner]} | {name for name, a in known.items() if a.kind in {"string", "text"}}
    part = write.foreign.open(origin, text=texts.__contains__)
    write.foreign.clip(part, clips)
    kind = family(part.columns[roles[owner]])
    if kind in _REFUSED:
        raise BadColumn(
            f"{where}: the column {roles[owner]!r} for {owner} is {part.columns[roles[owner]]}",
            hint="map another column",
        )
    told = plan_attributes(write.foreign, part, set(roles.values()), known, write.split, seen=write.seen, where=where)
    select = {"id": compose.id_text(roles[owner], kind)} | _fixed(part, roles, where)
    select["fault"] = compose.attribute_fault({name: (t.kind, t.expression) for name, t in told.items()})
    values = {f"v{k}": t.expression for k, t in enumerate(told.values())}
    sink = VersionSink(write.cursor, owner, {name: (t.kind, t.size) for name, t in told.items()})
    bad_rows: list[int] = []
    reasons: list[str] = []
    done = 0
    for batch in write.foreign.stream(select | values, rows=1 << 17):
        places, codes = aside.within(done, batch.num_rows)
        refused = {int(k): aside.reasons[code] for k, code in zip(places, codes, strict=True)}
        refused = _take(write, owner, batch, told, sink, refused)
        for row, reason in refused.items():
            bad_rows.append(done + row + 1)
            reasons.append(reason)
        done += batch.num_rows
        write.tell(source, before + done)
    quarantined = write.quarantine.take(write.foreign, part, source, np.array(bad_rows, dtype=np.int64), reasons)
    (write.items if owner == "item" else write.users).save(write.cursor)
    return sink.taken, sink.finish(at=write.at), quarantined


def _fixed(part: Part, roles: Mapping[str, str], where: str) -> dict[str, str]:
    """Read `valid_from` and `available`, or nothing where they are not given."""
    out = {"from": "NULL::BIGINT", "from_given": "false", "available": "NULL::BOOLEAN"}
    if "valid_from" in roles:
        column = roles["valid_from"]
        kind = family(part.columns[column])
        if kind not in {"timestamp", "text", "null"}:
            raise BadColumn(
                f"{where}: the column {column!r} for valid_from is {part.columns[column]}",
                hint="give a timestamp or an ISO date",
            )
        out["from"] = compose.text_time(column, "text" if kind != "timestamp" else kind)
        out["from_given"] = f"{compose.trimmed_text(column)} IS NOT NULL"
    if "available" in roles:
        column = roles["available"]
        if family(part.columns[column]) not in {"bool", "integer", "text", "null"}:
            raise BadColumn(
                f"{where}: the column {column!r} for available is {part.columns[column]}", hint="give true or false"
            )
        out["available"] = f"TRY_CAST({compose.quoted(column)} AS BOOLEAN)"
    return out


def _take(
    write: Write,
    owner: Owner,
    batch: pa.RecordBatch,
    told: Mapping[str, Told],
    sink: VersionSink,
    bad: dict[int, str],
) -> dict[int, str]:
    """Hand the good rows of a batch to the sink; returns `bad` with the reasons of the others, by position."""
    draft = write.items if owner == "item" else write.users
    positions, names = encode(batch["id"])
    moments = np.asarray(batch["from"].fill_null(0))
    wrong = (moments < 0) | (moments > MAX_TIME) | np.asarray(batch["from"].is_null()) & np.asarray(batch["from_given"])
    for k in np.flatnonzero(~draft.fit(names)[positions]):
        bad.setdefault(int(k), _ID)
    for k in np.flatnonzero(wrong):
        bad.setdefault(int(k), _FROM)
    if batch["fault"].null_count < batch.num_rows:
        for k in np.flatnonzero(np.asarray(batch["fault"].is_valid())):
            bad.setdefault(int(k), batch["fault"][int(k)].as_py())
    columns: dict[str, Any] = {name: batch[name] for name in batch.schema.names}
    good: npt.NDArray[np.int64] = np.setdiff1d(
        np.arange(batch.num_rows), np.fromiter(bad, dtype=np.int64, count=len(bad))
    )
    if bad:
        columns = {name: column.take(pa.array(good)) for name, column in columns.items()}
    rows = draft.encoded(positions[good], names, some=bool(bad))
    sink.add(rows, columns["from"], columns["available"], {name: columns[f"v{k}"] for k, name in enumerate(told)})
    return dict(sorted(bad.items()))
