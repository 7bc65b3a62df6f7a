"""`recengine features`: what is computed of users and items, what it says, and how it fares."""

from argparse import Namespace
from typing import Any

from recengine.cli import show
from recengine.engine import Engine
from recengine.errors import BadUsage, ModelError
from recengine.features.definition import AttributeOf, Counted, Derived, Feature, How
from recengine.jobs.feature_page import Report
from recengine.jobs.feature_report import write
from recengine.metrics.drift import DRIFTED

__all__ = ("build", "definitions", "materialize", "report", "show_one")

_SHOWN = 12
"""Features that have drifted, printed at most."""

_MEANT = "`recengine features list DIR` names them"


def definitions(args: Namespace) -> None:
    """List all features, with what the live deployment does with each."""
    with Engine.open(args.dir) as engine:
        found = [_told(feature) | {"live": state, "dropped": why} for feature, state, why in _states(engine)]
    show.result(
        args.json,
        found,
        lambda: show.table(
            ["live", "name", "entity", "version", "what it says"],
            [[one["live"], one["name"], one["entity"], one["version"], one["note"] or one["how"]] for one in found],
            whole=("name", "version"),
        ),
    )


def show_one(args: Namespace) -> None:
    """Show one definition whole, and what it says now, or said at a moment, of a user with items."""
    if not args.item and (args.user is not None or args.at is not None):
        raise BadUsage("features show: --user and --at go with --item", hint="a value is of a user with items")
    with Engine.open(args.dir) as engine:
        answer = next(
            (_told(f) | {"live": state, "dropped": why} for f, state, why in _states(engine) if f.name == args.name),
            None,
        )
        if answer is None:
            raise BadUsage(f"features show: there is no feature {args.name!r}", hint=_MEANT)
        if args.item:
            told = engine.features(args.user, args.item, at=args.at)
            if args.name in told:
                answer["values"] = dict(zip(args.item, told[args.name], strict=True))
            else:
                show.warn(f"the live deployment does not compute {args.name!r}: it has no values")
    show.result(args.json, answer, lambda: _shown(answer))


def _shown(answer: dict[str, Any]) -> None:
    values = answer.pop("values", {})
    show.table(["", ""], [[key, value] for key, value in answer.items() if value not in ("", None)])
    if values:
        show.table(["item", "value"], list(values.items()))


def build(args: Namespace) -> None:
    """Write the training table of all features into a file."""
    if args.rows is not None and args.rows < 1:
        raise BadUsage(f"features build: expected --rows of 1 or more, got {args.rows}")
    with Engine.open(args.dir) as engine:
        report = engine.feature_table(args.out, rows=args.rows, as_of=args.as_of, threads=args.threads)

    def human() -> None:
        show.line(f"{report.file}: {report.rows} rows, {report.taken} of them taken, {report.features} features")

    show.result(args.json, report, human)


def materialize(args: Namespace) -> None:
    """Evaluate queries and external tables again, and keep what they say."""
    with Engine.open(args.dir) as engine:
        found = engine.materialize_features()
    columns = ("name", "version", "entries", "entities", "seconds")

    def human() -> None:
        if found:
            show.table(columns, [[getattr(one, column) for column in columns] for one in found])
        else:
            show.line("no feature is a query or a column of a source")

    show.result(args.json, found, human)


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


def _states(engine: Engine) -> list[tuple[Feature, str, str]]:
    """Say of every feature what the live deployment does with it, and why it was dropped where it was.

    kept = its model sees it; base = what it sees is derived from it; dropped = training dropped it; new = it came, or
    changed, since; empty where nothing is live.
    """
    try:
        live = engine.deployed_features()
    except ModelError as err:  # what it was trained with cannot be served: the list is there to see why
        show.warn(f"the live deployment is not used: {err}")
        live = None
    dropped = live.selection.dropped if live is not None else {}
    found = []
    for feature in engine.feature_set().features:
        if live is None:
            state = ""
        elif live.versions.get(feature.name) == feature.version:
            state = "kept" if feature.name in live.kept else "base"
        else:
            state = "dropped" if feature.name in dropped else "new"
        found.append((feature, state, dropped.get(feature.name, "")))
    return found


def _told(feature: Feature) -> dict[str, Any]:
    return {
        "name": feature.name,
        "entity": feature.entity,
        "dtype": feature.dtype,
        "version": feature.version,
        "how": _way(feature.how),
        "window": feature.window,
        "transform": feature.transform,
        "default": feature.default,
        "domain": feature.domain,
        "note": feature.note,
        "where": feature.where,
    }


def _way(how: How) -> str:
    """Say in a few words where a value comes from."""
    match how:
        case Counted():
            return "the request" if how.family == "context" else "events"
        case AttributeOf():
            return f"{how.owner}.{how.attribute}"
        case Derived():
            return f"{how.op} of {how.of[0]}, {how.of[1]}"
        case _:
            return f"{how.source}.{how.column}" if how.source else f"a query, every {how.every} h"


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
