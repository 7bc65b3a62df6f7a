"""Read a foreign column as what it is to be: an id, a text, a number, a moment; and survey an order column."""

from collections.abc import Sequence

from recengine.store.compose.names import quoted

__all__ = (
    "id_text",
    "order_extent",
    "order_ranges",
    "parsed_number",
    "text_number",
    "text_time",
    "trimmed_text",
    "whole_number",
)


def id_text(column: str, family: str) -> str:
    """Read an id: integers as they are, whole floats as integers (a gap makes a frame's 7 a 7.0), the rest as text."""
    name = quoted(column)
    if family == "integer":
        return name
    if family == "float":
        return f"CASE WHEN {name} = trunc({name}) AND abs({name}) < 9007199254740992 THEN CAST({name} AS BIGINT) END"
    return f"CAST({name} AS VARCHAR)"


def trimmed_text(column: str) -> str:
    """Read a text where the empty one means none."""
    return f"nullif(trim(CAST({quoted(column)} AS VARCHAR)), '')"


def text_number(column: str, family: str) -> str:
    """Read a number; NaN where a text is none, NULL where there is nothing."""
    name = quoted(column)
    if family == "text":
        return f"CASE WHEN trim({name}) <> '' THEN coalesce(TRY_CAST({name} AS DOUBLE), CAST('NaN' AS DOUBLE)) END"
    return f"CAST({name} AS DOUBLE)"


def parsed_number(column: str) -> str:
    """Read a text as a number where it is one; NULL else."""
    return f"TRY_CAST({quoted(column)} AS DOUBLE)"


def whole_number(column: str, kind: str) -> str:
    """Read an integer of any width as a BIGINT; NULL where it does not fit."""
    return quoted(column) if kind == "BIGINT" else f"TRY_CAST({quoted(column)} AS BIGINT)"


def text_time(column: str, family: str) -> str:
    """Read a moment as microseconds; NULL where it is none."""
    name = quoted(column)
    moment = f"TRY_CAST({name} AS TIMESTAMPTZ)" if family == "text" else f"CAST({name} AS TIMESTAMPTZ)"
    return f"CASE WHEN isfinite({moment}) THEN epoch_us({moment}) END"


def order_extent(number: str | None, moment: str | None, relation: str) -> str:
    """Survey an order column: rows, numbers, moments; smallest and largest number, first and last moment.

    What cannot be there is None and not asked for: Parquet footers alone may answer the rest, ten times as fast.
    """
    numbers = ("count(n)", "min(n), max(n)") if number else ("0", "NULL, NULL")
    moments = ("count(t)", "min(t), max(t)") if moment else ("0", "NULL, NULL")
    read = ", ".join(f"{what} AS {name}" for name, what in (("n", number), ("t", moment)) if what) or "1"
    counts = f"SELECT count(*), {numbers[0]}, {moments[0]}, {numbers[1]}, {moments[1]}"
    return f"{counts} FROM (SELECT {read} FROM {quoted(relation)})"


def order_ranges(number: str, ranges: Sequence[tuple[float, float]], relation: str) -> str:
    """Count the numbers of an order column in each range."""
    counts = ", ".join(f"count(*) FILTER (n BETWEEN {low!r} AND {high!r})" for low, high in ranges)
    return f"SELECT {counts} FROM (SELECT {number} AS n FROM {quoted(relation)})"
