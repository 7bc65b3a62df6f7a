"""`recengine features`: what is computed of users and items, and how it fares."""

from argparse import Namespace
from typing import Any

from recengine.cli import show
from recengine.engine import Engine
from recengine.jobs.feature_page import Report
from recengine.jobs.feature_report import write
from recengine.metrics.drift import DRIFTED

__all__ = ("report",)

_SHOWN = 12
"""Features that have drifted, printed at most."""


def report(args: Namespace) -> None:
    """Write the report on all features as one HTML file."""
    with Engine.open(args.dir) as engine:
        made = engine.feature_report(rows=args.rows, threads=args.threads)
    write(made, args.out)
    drifted = sorted((f for f in made.features if (f.drift or 0) >= DRIFTED), key=lambda f: -(f.drift or 0))

    def human() -> None:
        kept = sum(f.kept is True for f in made.features)
        counts = f"{len(made.features)} features over {made.rows} rows, {kept} kept, {len(drifted)} drifted"
        show.line(f"{args.out}: {counts}")
        show.line(made.source)
        rows = [[f.name, f.drift, f.missing_before, f.missing_after] for f in drifted[:_SHOWN]]
        if rows:
            show.table(["drifted", "index", "missing earlier", "later"], rows)

    show.result(args.json, _answer(str(args.out), made), human)


def _answer(file: str, made: Report) -> dict[str, Any]:
    """Say the report as plain values, without its charts."""
    told = ("name", "entity", "version", "missing", "drift", "information", "importance", "kept", "dropped", "summary")
    return {
        "file": file,
        "rows": made.rows,
        "periods": made.periods,
        "source": made.source,
        "auc": made.auc,
        "features": [{key: getattr(f, key) for key in told} for f in made.features],
        "pairs": made.pairs,
    }
