"""What Python callers hand in, made an Arrow table: pandas, polars and pyarrow frames, dicts, lists of dicts, Structs.

Why Arrow by its PyCapsule interface: no frame library is imported here, and columns come over without a copy where the
memory allows.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pyarrow as pa

from recengine.errors import BadColumn, RecEngineError, SourceUnreadable
from recengine.types import Event, Item, User

__all__ = ("arrow_table", "refuse_twice")


def arrow_table(source: object, *, where: str) -> pa.Table:
    """Turn `source` into an Arrow table.

    Raises
    ------
    SourceUnreadable : no way to read it as rows.
    BadColumn : a column holds values of types that do not go together, or a name stands there twice.
    """
    try:
        table = _table(source, where)
    except RecEngineError:
        raise
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as err:
        named = [str(name) for name in getattr(source, "columns", ())]  # pandas refuses to hand these over
        refuse_twice(named, where=where)
        raise SourceUnreadable(
            f"{where}: cannot be read as a table: {err}", hint="every column needs one type"
        ) from err
    names = [str(name) for name in table.column_names]
    refuse_twice(names, where=where)
    return table.select([name for name in names if not name.startswith("__index_level_")])


def refuse_twice(names: list[str], *, where: str) -> None:
    """Refuse names that stand there twice.

    Raises
    ------
    BadColumn : so.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadColumn(f"{where}: the column {twice[0]!r} stands there twice", hint="rename or drop one of them")


def _table(source: object, where: str) -> pa.Table:
    if isinstance(source, pa.Table):
        return source
    if hasattr(source, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(source).read_all()
    if isinstance(source, Mapping):
        return _columns({str(k): list(v) for k, v in source.items()}, where)
    if isinstance(source, Iterable) and not isinstance(source, str | bytes):
        return _columns(_rows(source, where), where)
    raise SourceUnreadable(
        f"{where}: cannot read a {type(source).__name__}",
        hint="give a path or paths, a pandas, polars or pyarrow frame, a dict of columns, a list of dicts or Structs",
    )


def _rows(source: Iterable[object], where: str) -> dict[str, list[Any]]:
    rows: list[dict[str, Any]] = []
    for k, row in enumerate(source, 1):
        if isinstance(row, Item | User):
            flat = {name: value for name, value in msgspec.structs.asdict(row).items() if name != "attributes"}
            clash = sorted(set(flat) & set(row.attributes))
            if clash:
                raise BadColumn(
                    f"{where}: row {k}: the attribute {clash[0]!r} has the name of a field", hint="rename it"
                )
            rows.append(flat | row.attributes)
        elif isinstance(row, Event):
            said = msgspec.structs.asdict(row).items()
            rows.append({name: value for name, value in said if value is not None})  # what no event says is no column
        elif isinstance(row, Mapping):
            rows.append({str(name): value for name, value in row.items()})
        else:
            raise SourceUnreadable(
                f"{where}: row {k} is a {type(row).__name__}", hint="give dicts, or Event, Item, User"
            )
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _columns(columns: Mapping[str, list[Any]], where: str) -> pa.Table:
    return pa.table({name: _array(name, values, where) for name, values in columns.items()})


def _array(name: str, values: list[Any], where: str) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as err:
        if all(v is None or (isinstance(v, str | int) and not isinstance(v, bool)) for v in values):
            return pa.array([None if v is None else str(v) for v in values], pa.string())  # ids: 7 beside "x7"
        raise BadColumn(
            f"{where}: the column {name!r} mixes types: {err}", hint="give every row the same type"
        ) from err
