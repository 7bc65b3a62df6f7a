"""The schema of the database, as a list of steps; `upgrade` runs those that a file lacks.

A step never changes once it was released; a new one is appended. The number of steps is the schema version that `meta`
holds.
"""

from recengine.errors import StoreCorrupt, StoreTooNew
from recengine.store.cursor import Cursor
from recengine.store.queries import query

__all__ = ("SCHEMA", "upgrade", "version")

STEPS: tuple[tuple[str, ...], ...] = (
    (
        "create_meta",
        "create_user_ids",
        "create_item_ids",
        "create_event_types",
        "create_events",
        "create_event_ids",
        "create_attributes",
        "create_item_versions",
        "create_user_versions",
        "create_sources",
        "create_decisions",
    ),
    (
        "begin_marks",
        "create_consents",
        "extend_decisions_seq",
        "extend_decisions_request",
        "extend_decisions_same_as",
    ),
    (
        "create_pulls",
        "create_external_columns",
        "create_external_values",
    ),
    ("create_timelines",),
)
"""Step v (counted from 0) leads from schema v to v + 1; each is a list of queries in `sql/store`."""

SCHEMA = len(STEPS)
"""The schema that this recengine writes."""


def version(cursor: Cursor) -> int | None:
    """Read the schema version; None = the database is empty.

    Raises
    ------
    StoreCorrupt : the file is a DuckDB database, but not of recengine.
    """
    tables = {name for (name,) in cursor.rows(query("store/list_tables"))}
    if not tables:
        return None
    found = cursor.rows(query("store/read_meta"), {"key": "schema"}) if "meta" in tables else []
    if not found or not str(found[0][0]).isdigit():
        raise StoreCorrupt(
            f"not a database of recengine: it has the tables {', '.join(sorted(tables)[:5])} and no schema version",
            hint="give the folder of a recengine data directory",
        )
    return int(found[0][0])


def upgrade(cursor: Cursor) -> None:
    """Bring an older (or empty) database to `SCHEMA`; called inside one transaction.

    Raises
    ------
    StoreTooNew : the database was written by a newer recengine.
    StoreCorrupt : as in `version`.
    """
    at = version(cursor)
    if at is not None and at > SCHEMA:
        raise StoreTooNew(f"the database has schema {at}, this recengine knows {SCHEMA}", hint="upgrade recengine")
    if at == SCHEMA:
        return
    for step in STEPS[at or 0 :]:
        for name in step:
            cursor.execute(query(f"store/{name}"))
    key = {"key": "schema", "value": str(SCHEMA)}
    cursor.execute(query("store/insert_meta" if at is None else "store/update_meta"), key)
