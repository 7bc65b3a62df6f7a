"""What an operator does: models, backup, restore, config, doctor."""

import importlib.metadata
import platform
import shutil
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recengine.artifacts.store import ArtifactStore
from recengine.cli import show
from recengine.config import Config, commented, load
from recengine.engine import Engine
from recengine.engine.pulling import SourceState
from recengine.errors import BadArtifact, BadUsage, RecEngineError
from recengine.store import directory
from recengine.store.backup import backup as make_backup
from recengine.store.backup import restore as make_restore

__all__ = ("backup", "config", "doctor", "models", "restore")


_TOLD = ("users", "items", "last event", "live", "behind")
"""What `doctor` says of an engine; the others are of one that serves."""


def models(args: Namespace) -> None:
    """List, show or switch deployments."""
    if args.action == "promote" and args.version is None:
        raise BadUsage(f"models {args.action}: expected a version", hint="`recengine models list DIR` names them")
    directory.check(args.dir)
    store = ArtifactStore(args.dir / directory.ARTIFACTS)
    if args.action == "list":
        live = store.current()
        answer: Any = [_listed(store, version, live) for version in store.list_versions()]
        rows = [["*" if row["live"] else "", row["version"], row["created"], _few(row)] for row in answer]
        show.result(args.json, answer, lambda: show.table(["", "version", "created", "metrics"], rows))
    elif args.action == "show":
        show.document(store.manifest(store.open(args.version).name))
    else:
        version = args.version
        if args.action == "promote":
            store.promote(version)
        else:
            version = store.rollback()
        # The pointer only: whoever holds the database open watches it.
        text = f"live: {version}; a running server takes it over within a second"
        show.result(args.json, {"live": version}, lambda: show.line(text))


def _listed(store: ArtifactStore, version: str, live: str | None) -> dict[str, Any]:
    """Describe one version; a damaged one is named and does not hide the others."""
    row: dict[str, Any] = {"version": version, "live": version == live, "created": "", "metrics": {}}
    try:
        manifest = store.manifest(version)
    except BadArtifact as err:
        return {**row, "damaged": err.message}
    return {**row, "created": manifest.created, "metrics": manifest.about.metrics}


def _few(row: dict[str, Any]) -> str:
    """Show the metrics that one compares versions by."""
    if "damaged" in row:
        return f"damaged: {row['damaged']}"
    return "  ".join(f"{k} {v:.4f}" for k, v in row["metrics"].items() if k.split("@")[0] in {"recall", "ndcg"})


def backup(args: Namespace) -> None:
    """Copy a data directory."""
    report = make_backup(args.dir, args.target)
    show.result(args.json, report, lambda: show.line(f"{args.target}: a verified copy of {args.dir}"))


def restore(args: Namespace) -> None:
    """Make a data directory from a backup."""
    report = make_restore(args.source, args.dir)
    show.result(args.json, report, lambda: show.line(f"{args.dir}: restored from {args.source}"))


def config(args: Namespace) -> None:
    """Print the configuration."""
    if args.dir:
        directory.check(args.dir)
    tree = load(args.dir / directory.CONFIG) if args.dir else Config()
    show.result(args.json, tree, lambda: show.line(commented(tree).rstrip()))


def doctor(args: Namespace) -> None:
    """Check everything that can be checked without changing anything; exit 1 when something is wrong."""
    checks: list[dict[str, Any]] = []

    def check(name: str, run: Callable[[], str]) -> None:
        try:
            checks.append({"check": name, "ok": True, "detail": run()})
        except RecEngineError as err:
            checks.append({"check": name, "ok": False, "detail": str(err)})

    check("python", lambda: f"{platform.python_version()} on {platform.machine()}")
    for package in ("recengine", "duckdb", "numpy", "scipy", "pyarrow", "msgspec"):
        check(package, lambda package=package: importlib.metadata.version(package))  # type: ignore[misc]
    check("directory", lambda: _usable(args.dir))
    check("configuration", lambda: f"{len(load(args.dir / directory.CONFIG).model)} models")
    check("disk", lambda: f"{shutil.disk_usage(args.dir if args.dir.exists() else '.').free / 1e9:.1f} GB free")
    sources: list[SourceState] = []
    check("leftovers", lambda: _left(args.dir / directory.ARTIFACTS))
    check("engine", lambda: _opened(args, sources))
    checks += [
        {"check": f"source {s.name}", "ok": not s.trouble, "detail": _pulled(s)} for s in sources
    ]
    show.result(
        args.json,
        checks,
        lambda: show.table(
            ["", "check", "detail"], [["ok" if c["ok"] else "FAIL", c["check"], c["detail"]] for c in checks]
        ),
    )
    if not all(c["ok"] for c in checks):
        sys.exit(1)


def _usable(path: Path) -> str:
    directory.check(path)
    return str(path)


def _pulled(source: SourceState) -> str:
    if source.trouble:
        return f"{source.trouble}: {source.error}" if source.error else source.trouble
    return "never pulled" if source.at is None else f"{source.rows} rows, {source.age_seconds:.0f} s ago"


def _opened(args: Namespace, sources: list[SourceState]) -> str:
    with Engine.open(args.dir) as engine:
        sources += engine.sources()
        facts = engine.facts()
        if engine.artifacts.current() is not None:
            engine.spine()
    return ", ".join(f"{name} {facts[name]}" for name in _TOLD)


def _left(artifacts: Path) -> str:
    """Name what a training that was cut off left behind, or one that runs now writes."""
    left = sorted(path.name for path in artifacts.glob(".tmp-*"))
    return f"{', '.join(left)}: of a training that runs, or was cut off; the next one removes it" if left else "none"
