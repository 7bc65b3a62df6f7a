"""Printing: tables for people, one JSON document for machines, progress bars on stderr and only in a terminal."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from recengine.errors import RecEngineError

__all__ = ("document", "error", "line", "problem", "progress", "result", "table", "warn")

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def result(as_json: bool, answer: Any, human: Callable[[], None]) -> None:
    """Print `answer` as one JSON line, or let `human` print it for people."""
    if as_json:
        document(answer)
    else:
        human()


def document(answer: Any) -> None:
    """Print one JSON document on one line."""
    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")


def line(text: str) -> None:
    """Print a line; square brackets in data stay as they are."""
    out.print(text, markup=False)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None, whole: Sequence[str] = ()
) -> None:
    """Print a table; numbers are right-aligned. Columns of `whole` are not folded: one copies what they hold."""
    rows = [list(row) for row in rows]
    grid = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) or row[index] is None for row in rows)
        grid.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=name in whole)
    for row in rows:
        grid.add_row(*(_cell(value) for value in row))
    out.print(grid)


def warn(text: str) -> None:
    """Print a note on stderr."""
    err.print(text, markup=False, style="yellow")


def error(met: RecEngineError) -> None:
    """Print an error on stderr: the code, what happened, and what to do."""
    err.print(f"error[{met.code}]: {met.message}", markup=False, style="red")
    if met.hint:
        err.print(f"  hint: {met.hint}", markup=False)


def problem(met: RecEngineError) -> dict[str, str]:
    """Write an error as a document."""
    return {"error": met.code, "message": met.message, "hint": met.hint}


@contextmanager
def progress(as_json: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Give `report(what, done, total)`, which draws a bar for each `what`; silent unless stderr is a terminal."""
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
        disable=as_json or not err.is_terminal,
        transient=True,
    )
    tasks: dict[str, Any] = {}

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done, total=total)

    with bars:
        yield report


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    return str(value).replace("[", "\\[")
