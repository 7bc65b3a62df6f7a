"""`recengine tune`: search better settings of one model; the best ones can be written out as a configuration."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import msgspec

from recengine.cli import show
from recengine.cli.commands import pairs
from recengine.config import Config, commented, load
from recengine.durable import placed, whole
from recengine.engine import Engine
from recengine.errors import BadUsage, ConfigInvalid
from recengine.jobs.tuning import tune_files
from recengine.offline.tune import TuneReport
from recengine.store import directory

__all__ = ("tune",)


def tune(args: Namespace) -> None:
    """Search, and say or write what is best."""
    if bool(args.dir) == bool(args.train):
        raise BadUsage("tune: expected a data directory, or --train", hint="see `recengine tune --help`")
    if args.dir and args.columns:
        raise BadUsage("tune: --columns goes with --train")
    if args.out:
        placed(args.out)
    try:
        with show.progress(args.json) as progress:
            options = {"trials": args.trials, "resume": args.resume, "progress": progress}
            report, best = _on_files(args, options) if args.train else _in_directory(args, options)
    except KeyboardInterrupt:
        show.warn("trials that ended are in the file; --resume goes on with it")
        raise
    if args.out:
        with whole(args.out) as file:
            file.write(commented(best).encode())
    show.result(args.json, report, lambda: _say(report, args.out))


def _on_files(args: Namespace, options: dict[str, Any]) -> tuple[TuneReport, Config]:
    model = args.model or "als"
    options |= {name: getattr(args, name) for name in ("at", "seed", "threads") if getattr(args, name) is not None}
    return tune_files(args.train, pairs(args.columns, "--columns"), model, _file(args, model), **options)


def _in_directory(args: Namespace, options: dict[str, Any]) -> tuple[TuneReport, Config]:
    directory.check(args.dir)
    config = load(args.dir / directory.CONFIG)
    given = {name: getattr(args, name) for name in ("at", "seed") if getattr(args, name) is not None}
    try:
        training = msgspec.convert(msgspec.structs.asdict(config.training) | given, type(config.training))
    except msgspec.ValidationError as err:
        raise ConfigInvalid(f"tune: {err}", hint="`recengine tune --help`") from err
    model = args.model or config.model[0].name
    with Engine.open(args.dir, config=msgspec.structs.replace(config, training=training)) as engine:
        report, best = engine.tune(model, _file(args, model), threads=args.threads, **options)
    return report, msgspec.structs.replace(best, training=config.training)


def _file(args: Namespace, model: str) -> Path:
    return args.file or Path(f"tune-{model}.jsonl")


def _say(report: TuneReport, out: Path | None) -> None:
    show.line(f"{report.fits} fits of {report.trials} settings of {report.model}, judged by {report.users} users")
    if not report.best:
        show.line(f"nothing beats what is configured: {report.metric} {report.configured:.4f}")
    else:
        show.line(f"{report.metric} {report.configured:.4f} as configured, {report.score:.4f} with")
        show.table(["setting", "value"], [[name, str(value)] for name, value in report.best.items()])
    if out is not None:
        show.line(f"the configuration is in {out}")
