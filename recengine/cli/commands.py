"""What a shop does every day: init, ingest, train, recommend, similar, explain, export."""

import os
import sys
from argparse import Namespace
from typing import Any

from recengine.cli import show
from recengine.durable import placed
from recengine.engine import Engine
from recengine.errors import BadUsage, DataError, SourceUnreadable
from recengine.jobs import calibration_page
from recengine.offline.cycle import CycleReport
from recengine.offline.incremental import IncrementalReport
from recengine.offline.ingest import IngestReport
from recengine.offline.pool import PoolReport
from recengine.types import Recommendation, Response

__all__ = (
    "explain",
    "export",
    "increment",
    "incremented",
    "ingest",
    "ingested",
    "init",
    "pairs",
    "pooled",
    "recommend",
    "recommended",
    "similar",
    "train",
    "trained",
)

_SHOWN = ("recall", "ndcg", "hit_rate", "mrr", "coverage", "novelty")


def pairs(texts: list[str], what: str) -> dict[str, str]:
    """Split `KEY=VALUE` words.

    Raises
    ------
    BadUsage : a word has no `=`.
    """
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key or not value:
            raise BadUsage(f"{what}: expected KEY=VALUE, got {text!r}")
        found[key] = value
    return found


def init(args: Namespace) -> None:
    """Make an empty data directory."""
    with Engine.open(args.dir, create=True):
        show.result(
            args.json,
            {"directory": str(args.dir)},
            lambda: show.line(f"{args.dir} is ready; next: recengine ingest {args.dir} --events FILE"),
        )


def ingest(args: Namespace) -> None:
    """Read files into the store."""
    files = args.events or args.items or args.users
    if bool(files) == bool(args.source):
        raise BadUsage(
            "ingest: expected --events, --items or --users, or --source",
            hint="the first three take files or globs, --source the name of a `[[source]]` in recengine.toml",
        )
    if args.source:
        _pull(args)
        return
    with Engine.open(args.dir) as engine, show.progress(args.json) as progress:
        report = engine.ingest(
            events=args.events,
            items=args.items,
            users=args.users,
            columns=pairs(args.columns, "--columns"),
            strict=args.strict,
            order_unit=args.order_unit,
            split=pairs(args.split, "--split") or None,
            progress=progress,
        )
    show.result(args.json, report, lambda: ingested(report))


def _pull(args: Namespace) -> None:
    """Pull configured sources, one after the other; one that fails does not keep the others from being pulled."""
    if args.columns or args.split:
        raise BadUsage("ingest: --columns and --split go with files", hint="of a source the configuration says them")
    came: dict[str, IngestReport | DataError] = {}
    with Engine.open(args.dir, environment=os.environ) as engine, show.progress(args.json) as progress:
        for name in args.source:
            try:
                came[name] = engine.pull(name, strict=args.strict, progress=progress)
            except DataError as err:
                came[name] = err

    def human() -> None:
        for name, report in came.items():
            if isinstance(report, DataError):
                show.error(report)
            else:
                show.line(f"{name}:")
                ingested(report)

    failed = {name: show.problem(err) for name, err in came.items() if isinstance(err, DataError)}
    show.result(args.json, {**came, **failed}, human)
    if failed:
        sys.exit(1)


def ingested(report: IngestReport) -> None:
    """Print an ingest report."""
    show.table(
        ["source", "rows", "stored", "known", "quarantined", "seconds"],
        [[s.source, s.rows, s.stored, s.duplicates, sum(s.quarantined.values()), s.seconds] for s in report.sources],
    )
    for source in report.sources:
        for reason, count in sorted(source.quarantined.items()):
            show.warn(f"  {source.source}: {count} x {reason}")
        for what, count in sorted(source.repaired.items()):
            show.warn(f"  {source.source}: {count} x put right: {what}")
        for one in source.expectations:
            if one.outcome != "held":
                first = "" if one.row is None else f", the first of them row {one.row} of {one.file}"
                rows = f" in {one.rows} rows" if one.rows else ""
                show.warn(f"  {one.place}: expected {one.expected}, came {one.came}{rows}{first}: {one.outcome}")
        if source.orphans:
            show.warn(f"  {source.source}: {source.orphans} of items that nothing describes yet; they are kept")
        for kind, count in sorted(source.unknown_types.items()):
            show.warn(f"  {source.source}: {count} of type {kind!r}, which the configuration does not list: 1.0 each")
    for file in report.quarantine:
        show.warn(f"  bad rows are kept in {file}")


def train(args: Namespace) -> None:
    """Learn, validate, deploy; or fold in what is new."""
    if args.incremental:
        increment(args)
        return
    if args.calibration:
        placed(args.calibration)
    with Engine.open(args.dir) as engine, show.progress(args.json) as progress:
        report = engine.train(force=args.force, threads=args.threads, progress=progress)
    if args.calibration:
        calibration_page.write(report.validation.reliability, report.version, args.calibration)
    show.result(args.json, report, lambda: trained(report))


def increment(args: Namespace) -> None:
    """Fold what is new into the live models."""
    if args.calibration:
        raise BadUsage("train: --calibration draws what a full training measures; an increment keeps its calibrations")
    if args.force:
        raise BadUsage("train: --force overrules the gate of a full training; an increment has none")
    with Engine.open(args.dir) as engine, show.progress(args.json) as progress:
        report = engine.train(incremental=True, threads=args.threads, progress=progress)
    show.result(args.json, report, lambda: incremented(report))


def incremented(report: IncrementalReport) -> None:
    """Print what an increment did."""
    if report.deploy is None or report.continuity is None:
        show.line(f"nothing is new since {report.version}; it stays live")
        for note in report.notes:
            show.warn(f"  {note}")
        return
    users = f"{report.users} users ({report.new_users} new)"
    items = f"{report.items} items ({report.new_items} new)"
    show.line(f"{report.events} new events of {users} and {items}")
    show.table(
        ["model", "updated", "seconds"], [[m.name, "yes" if m.updated else "no", m.seconds] for m in report.models]
    )
    made = report.continuity
    show.line(f"{made.overlap:.0%} of the top {made.at} stay, over {made.users} users")
    show.line(f"as they were: {', '.join(report.carried)}; increment {report.increments} on {report.full}")
    for note in report.deploy.notes:
        show.warn(f"  {note}")
    show.line(f"deployed {report.version} in {report.seconds:.1f} s")


def trained(report: CycleReport) -> None:
    """Print what training found."""
    validation = report.validation
    names = [name for name in validation.candidate.metrics if name.split("@")[0] in _SHOWN]
    systems = [validation.candidate, *validation.models, *([validation.live] if validation.live else [])]
    build = report.build
    show.line(f"{build.events} events of {build.users} users and {build.items} items; {build.split} split")
    show.line(f"ranked for {validation.candidate.users} test users:")
    show.table(
        ["", *names],
        [[system.name, *(system.metrics[name] for name in names)] for system in systems],
    )
    for comparison in validation.comparisons:
        show.line(comparison.verdict)
    pooled(validation.pool)
    show.table(
        ["confidence of", "curve", "ECE", "Brier", "abstains"],
        [[one.name, one.family, one.ece, one.brier, one.abstains] for one in validation.reliability],
    )
    for one in validation.reliability:
        if not one.useful:
            show.warn(f"  confidence of {one.name}: worse than saying 0.5 of everything (Brier {one.brier:.3f} > 0.25)")
    if report.features is not None:
        made = report.features
        show.line(f"{len(made.kept)} of {made.features} features kept, {made.columns} columns, in {made.seconds:.1f} s")
    for note in (*validation.notes, *validation.overruled, *report.deploy.notes):
        show.warn(f"  {note}")
    show.line(f"deployed {report.version} in {report.seconds:.1f} s")


def pooled(pool: PoolReport | None) -> None:
    """Print what the candidates hold."""
    if pool is None or pool.targets == 0:
        return
    show.line(f"{pool.items:.0f} candidates a user hold {pool.recall:.1%} of {pool.targets} test items:")
    rows = [[s.name, s.items, s.held / pool.targets, s.alone / pool.targets] for s in pool.sources]
    show.table(["source", "items", "recall", "by it alone"], rows)


def recommend(args: Namespace) -> None:
    """Recommend to users."""
    wishes: dict[str, Any] = {
        "filter": args.filter,
        "exclude_seen": args.exclude_seen or not args.include_seen,
        "categories_any": args.categories_any,
        "categories_all": args.categories_all,
        "categories_none": args.categories_none,
        "allow": args.allow,
        "deny": args.deny,
        "pins": args.pins,
        "caps": {name: _count(name, value) for name, value in pairs(args.caps, "--caps").items()},
        "diversity": args.diversity,
        "deadline_ms": args.deadline_ms,
        "explain": args.explain,
    }
    with Engine.open(args.dir) as engine:
        if len(args.users) > 1:
            replies = engine.recommend_batch(args.users, args.n, **wishes)
        else:
            replies = [engine.recommend(args.users[0] if args.users else None, args.n, **wishes)]
        titles = [engine.titles([item.item_id for item in reply.items]) for reply in replies]
    answer = replies if len(args.users) > 1 else replies[0]
    show.result(args.json, answer, lambda: recommended(replies, titles))


def recommended(replies: list[Response], titles: list[list[str]]) -> None:
    """Print replies, one table each."""
    for reply, names in zip(replies, titles, strict=True):
        kind = "cold user" if reply.cold else "user"
        show.line(f"{kind} {reply.user_id or '(anonymous)'}, deployment {reply.version}")
        show.table(
            ["", "item", "title", "score", "why"],
            [
                [
                    rank,
                    item.item_id,
                    name if name != item.item_id else "",
                    item.score,
                    next((r.text for r in item.reasons if r.text), item.reason),
                ]
                for rank, (item, name) in enumerate(zip(reply.items, names, strict=True), 1)
            ],
        )
        if not reply.items:
            show.line("  nothing is eligible")
        for reason in reply.degraded:
            show.warn(f"  degraded for {reply.user_id or '(anonymous)'}: {reason}")


def _count(name: str, value: str) -> int:
    if not value.isdigit():
        raise BadUsage(f"--caps {name}: expected a whole number, got {value!r}")
    return int(value)


def similar(args: Namespace) -> None:
    """List neighbours."""
    with Engine.open(args.dir) as engine:
        if args.user:
            users = engine.similar_users(args.id, args.n)
            show.result(args.json, users, lambda: show.table(["user", "similarity"], users))
            return
        items: tuple[Recommendation, ...] = engine.similar_items(args.id, args.n)
        names = engine.titles([item.item_id for item in items])
    rows = [
        [item.item_id, name if name != item.item_id else "", item.score]
        for item, name in zip(items, names, strict=True)
    ]
    show.result(args.json, items, lambda: show.table(["item", "title", "similarity"], rows))


def explain(args: Namespace) -> None:
    """Explain one item for one user."""
    with Engine.open(args.dir) as engine:
        answer = engine.explain(args.user, args.item)

    def human() -> None:
        verdict = "could be shown" if answer.eligible else f"is not shown: {', '.join(answer.excluded_by)}"
        show.line(f"item {answer.item_id} for user {answer.user_id}: {verdict}")
        show.line(f"P(engaged) {answer.score:.4f}, deployment {answer.version}")
        show.table(["model", "log-odds"], sorted(answer.contributions.items(), key=lambda pair: -pair[1]))
        for reason in answer.reasons:
            show.line(f"  {reason.text or reason.kind}")

    show.result(args.json, answer, human)


def export(args: Namespace) -> None:
    """Write recommendations into a file."""
    users = None
    if args.users is not None:
        try:
            users = [name for name in args.users.read_text(encoding="utf-8").splitlines() if name]
        except (OSError, UnicodeDecodeError) as err:
            raise SourceUnreadable(f"{args.users}: cannot be read: {err}", hint="one user id a line, UTF-8") from err
    with Engine.open(args.dir) as engine, show.progress(args.json) as progress:
        report = engine.export(
            args.out,
            users=users,
            n=args.n,
            filter=args.filter,
            progress=lambda done, total: progress("users", done, total),
        )
    show.result(args.json, report, lambda: show.line(f"{report.rows} rows in {report.file}"))
    for reason, count in sorted(report.degraded.items()):
        show.warn(f"  degraded: {reason} in {count} replies")
