"""The door to foreign databases: PostgreSQL and SQLite through ADBC, as batches of Arrow in one snapshot.

Floor 2. In: a URI and what to ask. Out: `Remote.rows`, batches that DuckDB takes, and the mark that they reach. The
mark of the last pull goes in as a parameter, never as SQL. Every error names what failed, and no error, whatever the
driver says, holds a password.

Why the mark of PostgreSQL is a setting of its session: a bound parameter would keep the driver from streaming by COPY,
and the whole answer would have to fit into memory.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote, unquote

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import adbc_driver_sqlite.dbapi
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from recengine.errors import BadColumn, RecEngineError, SourceUnreadable
from recengine.store import compose
from recengine.store.frames import refuse_twice

__all__ = ("POSTGRES", "SQLITE", "Remote", "Taken")

POSTGRES = ("postgresql://", "postgres://")
SQLITE = "sqlite:///"
_PASSWORD = re.compile(r"^[a-z]+://[^:@/?]*:(.*)@", re.IGNORECASE)
_SECRET = re.compile(r"[?&](?:password|sslpassword|passfile)=([^&]*)", re.IGNORECASE)
_MISREAD = re.compile(r"[@/?#:\[\]\s]|%(?![0-9a-fA-F]{2})")
_TIMEOUTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "application_name": "recengine",
}
"""What the URI does not say itself: a server that went away without a word must not hold a pull for ever."""
_MARKS = frozenset(
    (
        "smallint",
        "integer",
        "bigint",
        "numeric",
        "real",
        "double precision",
        "date",
        "timestamp without time zone",
        "timestamp with time zone",
        "text",
        "character varying",
        "character",
    )
)
"""Types that a watermark of PostgreSQL may have."""
_ENDLESS = frozenset(("NaN", "Infinity", "infinity", "Inf"))
_WHOLE = 18
"""Digits of a whole `numeric` that a BIGINT holds."""
_UNFIT = frozenset(("bytea", "money", "interval"))


class Taken(NamedTuple):
    """An answer under way."""

    batches: Iterator[pa.RecordBatch]
    casts: dict[str, str | None]
    """{column: the DuckDB type that it is to have; None = as it is}."""
    schema: pa.Schema
    """Of the batches."""
    nothing: tuple[str, ...] = ()
    """Columns without a single value, and so without a type; the batches lack them."""


class Remote:
    """A connection to a foreign database, read-only and in one snapshot. Use it as a context manager.

    Parameters
    ----------
    uri : postgresql://USER:PASSWORD@HOST/NAME, or sqlite:///FILE.
    where : begins every message.

    Raises
    ------
    SourceUnreadable : it cannot be reached, or refuses us.
    """

    def __init__(self, uri: str, *, where: str) -> None:
        self._where = where
        self._uri = uri
        self._lite = uri.startswith(SQLITE)
        self._cursor: Any = None
        self._connection: Any = None
        self._ended = False
        said = _PASSWORD.search(uri)
        if not self._lite and said is not None and _MISREAD.search(said[1]):  # libpq would name parts of it in messages
            raise SourceUnreadable(
                f"{where}: the password in its uri has characters that mean something else there",
                hint="write them as %XX (@ is %40, / is %2F), or let ${NAME} stand for the password",
            )

    def __enter__(self) -> Self:
        try:
            if self._lite:
                path = self._uri.removeprefix(SQLITE)
                if not Path(path).is_file():
                    raise SourceUnreadable(f"{self._where}: {path}: no such file", hint="check the path")
                path = quote(path)
                self._connection = adbc_driver_sqlite.dbapi.connect(f"file:{path}?mode=ro")
            else:
                self._connection = adbc_driver_postgresql.dbapi.connect(_patient(self._uri))
            self._cursor = self._connection.cursor()
            if not self._lite:  # the first statement of the transaction that the driver has begun
                self._cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                self._one(compose.SETTING, ("TimeZone", "UTC"))
                self._one(compose.SETTING, ("DateStyle", "ISO"))
        except (adbc_driver_manager.Error, OSError) as err:
            if isinstance(err, RecEngineError):
                raise
            failed = self._failed(err, "cannot be reached", "check its address, name and password, and that it runs")
            self.close()
            raise failed from None  # what the driver said may hold more than what we show
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go; also of a connection that is broken."""
        for held in (self._cursor, self._connection):
            if held is not None:
                with suppress(adbc_driver_manager.Error, OSError):
                    held.close()
        self._cursor = self._connection = None

    def cancel(self) -> None:
        """End what runs, from another thread: whoever waits for it gets SourceUnreadable."""
        self._ended = True
        cursor = self._cursor
        if cursor is not None:
            with suppress(adbc_driver_manager.Error, OSError):
                cursor.adbc_cancel()

    def highest(self, ask: str, column: str) -> str | None:
        """Return the mark that the rows of `ask` reach now, as JSON; None = no row has a value there.

        Raises
        ------
        SourceUnreadable : the query fails.
        BadColumn : the column has a type without an order that lasts.
        """
        typed = "{0}, typeof({0})" if self._lite else "CAST({0} AS TEXT), CAST(pg_typeof({0}) AS TEXT)"
        with self._asking():
            if self._lite:  # where it would take the name of no column for a text
                self._cursor.execute(compose.first_rows(ask))
                names = [name.lower() for name in self._cursor.fetch_record_batch().schema.names]
                if column.lower() not in names:
                    raise SourceUnreadable(
                        f"{self._where}: cannot be read: no such column: {column}", hint="see its `watermark`"
                    )
            top, kind = self._one(compose.highest_mark(ask, column, typed=typed, endless=False))
            if str(top).strip("-") in _ENDLESS or str(top) == "inf":
                top, kind = self._one(compose.highest_mark(ask, column, typed=typed, endless=True))
        if top is None:
            return None
        if kind == "blob" or not (self._lite or kind in _MARKS):
            raise BadColumn(
                f"{self._where}: the watermark column {column!r} is {kind}", hint="a number, a text or a moment grows"
            )
        return msgspec.json.encode((top, kind)).decode()

    def rows(self, ask: str, *, column: str | None = None, mark: str | None = None) -> Taken:
        """Ask for rows: those at or above `mark` in `column`, where there is one.

        Rows without a value there always come along: what they say is known already, or new.

        Raises
        ------
        SourceUnreadable : the query fails; also later, while batches are read, when the server goes away.
        BadColumn : a column stands there twice, or has a type that nothing can be made of.
        """
        with self._asking():
            params: tuple[Any, ...] = ()
            at = None
            if mark is not None:
                value, kind = msgspec.json.decode(mark)
                if self._lite:
                    at, params = "?1", (value,)
                elif kind in _MARKS:
                    at = compose.mark_setting(kind)
                    self._one(compose.SETTING, ("recengine.mark", value))
            asked = compose.remote_rows(ask, column, at)
            if self._lite:
                return self._untyped(ask, asked, params)
            self._cursor.execute(asked)
            reader = self._cursor.fetch_record_batch()
            refuse_twice(reader.schema.names, where=self._where)
            casts = {field.name: self._cast(field) for field in reader.schema}
            none = [pa.nulls(0, field.type) for field in reader.schema]
            schema = _plain(pa.RecordBatch.from_arrays(none, schema=reader.schema)).schema
        return Taken(self._stream(reader, skip=0), casts, schema)

    def hidden(self, text: str) -> str:
        """Return `text` without a secret of the URI."""
        found = [match[1] for match in (*_PASSWORD.finditer(self._uri), *_SECRET.finditer(self._uri))]
        for secret in sorted({said for one in found for said in (one, unquote(one)) if said}, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    # ------------------------------------------------------------------------------------------------ inside

    def _untyped(self, ask: str, asked: str, params: tuple[Any, ...]) -> Taken:
        """Ask a SQLite, whose columns have no types: look which ones their values have.

        All values of `ask`, so that the types do not depend on what is new.
        """
        self._cursor.execute(compose.first_rows(ask))
        names = list(self._cursor.fetch_record_batch().schema.names)
        refuse_twice(names, where=self._where)
        there = self._one(compose.column_types(ask, names))
        types: dict[str, str] = {}
        for at, name in enumerate(names):
            kinds = compose.SQLITE_TYPES
            found = [kind for kind, yes in zip(kinds, there[len(kinds) * at :], strict=False) if yes]
            if found:
                types[name] = found[0]
            if found[:1] == ["BLOB"]:
                raise self._unfit(name, "BLOB")
        nothing = tuple(name for name in names if name not in types) if types else ()
        types = types or dict.fromkeys(names, "TEXT")
        self._cursor.execute(compose.typed_rows(asked, types), params)
        reader = self._cursor.fetch_record_batch()
        return Taken(self._stream(reader, skip=1), dict.fromkeys(types), reader.schema, nothing)

    def _stream(self, reader: pa.RecordBatchReader, *, skip: int) -> Iterator[pa.RecordBatch]:
        while True:
            with self._asking():
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
            first, skip = min(skip, batch.num_rows), max(0, skip - batch.num_rows)
            yield _plain(batch.slice(first))

    def _one(self, sql: str, params: Sequence[Any] = ()) -> tuple[Any, ...]:
        self._cursor.execute(sql, tuple(params))
        return tuple(self._cursor.fetchone())

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except (adbc_driver_manager.Error, pa.ArrowException, OSError) as err:
            if isinstance(err, RecEngineError):
                raise
            raise self._failed(err, "cannot be read", "what was pulled before stays") from None

    def _failed(self, err: BaseException, what: str, hint: str) -> SourceUnreadable:
        lines = [line.strip() for line in str(err).splitlines() if line.strip()] or [type(err).__name__]
        said = "it was ended" if self._ended else self.hidden(lines[0])
        return SourceUnreadable(f"{self._where}: {what}: {said}", hint=hint)

    def _cast(self, field: pa.Field) -> str | None:
        """Say as what DuckDB takes a column of PostgreSQL."""
        kind = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
        if kind in _UNFIT or (isinstance(field.type, pa.OpaqueType) and kind not in {"numeric", "xml"}):
            raise self._unfit(field.name, kind)
        if kind == "numeric":
            modifier = int((field.metadata or {}).get(b"POSTGRESQL:typmod", b"-1")) - 4
            digits, scale = modifier >> 16 & 0xFFFF, modifier & 0x7FF
            return "BIGINT" if modifier >= 0 and scale == 0 and digits <= _WHOLE else "DOUBLE"
        if kind == "_numeric":
            return "DOUBLE[]"
        return "VARCHAR" if kind in {"uuid", "json", "jsonb"} else None

    def _unfit(self, name: str, kind: str) -> BadColumn:
        return BadColumn(
            f"{self._where}: the column {name!r} is {kind}, of which nothing can be made",
            hint="name the columns that are wanted in a `query`, with a CAST where need be",
        )


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Turn the extension types of a batch into plain ones; moments without end are missing."""
    columns = {field.name: _storage(column, field) for field, column in zip(batch.schema, batch.columns, strict=True)}
    return pa.record_batch(columns)


def _storage(column: pa.Array, field: pa.Field) -> pa.Array:
    kind = (field.metadata or {}).get(b"POSTGRESQL:type", b"")
    if isinstance(field.type, pa.OpaqueType) or kind in {b"json", b"jsonb"}:
        return column.storage.cast(pa.string())
    if pa.types.is_list(field.type) and isinstance(field.type.value_type, pa.BaseExtensionType):
        return pa.ListArray.from_arrays(column.offsets, column.values.storage, mask=column.is_null())
    if kind == b"bpchar":  # padded with blanks to its length
        return pc.utf8_rtrim(column, " ")
    if pa.types.is_timestamp(field.type) or pa.types.is_date32(field.type):  # what the driver makes of infinity
        whole = column.cast(pa.int64() if pa.types.is_timestamp(field.type) else pa.int32())
        far = 9_200_000_000_000_000_000 if pa.types.is_timestamp(field.type) else 2_000_000_000
        endless = pc.or_(pc.less(whole, -far), pc.greater(whole, far))
        return pc.if_else(endless, pa.scalar(None, field.type), column)
    return column


def _patient(uri: str) -> str:
    """Add to the URI of a PostgreSQL the timeouts that it does not name."""
    missing = [f"{name}={value}" for name, value in _TIMEOUTS.items() if f"{name}=" not in uri]
    return f"{uri}{'&' if '?' in uri else '?'}{'&'.join(missing)}" if missing else uri
