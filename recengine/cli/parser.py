"""What can be typed: every command, its arguments and its help. The README test reads this tree."""

import argparse
import importlib.metadata
import os
from datetime import datetime
from pathlib import Path

from recengine.cli import commands, demo, evaluate, features, index, live, operate, serve, tune
from recengine.index.trials import KINDS
from recengine.jobs.evaluate import PROTOCOLS
from recengine.jobs.index_report import QUERIES

__all__ = ("build",)

EPILOG = """environment:
  RECENGINE_API_KEY   the key that `record --url` sends (default: none)
  RECENGINE_THREADS   cores that training may use, where the configuration says 0 (default: all)
  NO_COLOR            plain output
"""


def build() -> argparse.ArgumentParser:
    """Make the parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="recengine",
        description="A recommendation engine in one process and one folder.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"recengine {importlib.metadata.version('recengine')}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    verb = _verb(verbs, "init", "make an empty data directory", commands.init)
    _verb(
        verbs, "demo", "make a shop, learn from it, recommend, feel clicks, serve", demo.demo, directory=False
    ).add_argument("dir", nargs="?", type=Path, default=Path("shop"), help="where the shop goes (default: shop)")

    verb = _verb(verbs, "ingest", "read events, items and users", commands.ingest)
    for what in ("events", "items", "users"):
        verb.add_argument(
            f"--{what}", nargs="+", metavar="FILE", help=f"{what}: CSV, Parquet or JSONL, also .gz and .zst; globs"
        )
    verb.add_argument(
        "--columns",
        nargs="+",
        default=[],
        metavar="ROLE=COLUMN",
        help="such as user=userId item=movieId value=rating order=ts",
    )
    verb.add_argument("--source", nargs="+", default=[], metavar="NAME", help="pull these `[[source]]`s, not files")
    verb.add_argument("--split", nargs="+", default=[], metavar="COLUMN=SEPARATOR", help="columns that hold lists")
    verb.add_argument(
        "--order-unit",
        choices=("auto", "s", "ms", "us", "ns", "integer"),
        default="auto",
        help="what numbers in `order` count",
    )
    verb.add_argument("--strict", action="store_true", help="refuse everything at the first bad row")

    verb = _verb(verbs, "train", "learn, validate, and deploy what passes", commands.train)
    verb.add_argument("--force", action="store_true", help="deploy even what the gate refuses")
    verb.add_argument("--incremental", action="store_true", help="fold only what is new into the live models")
    verb.add_argument("--calibration", type=Path, metavar="FILE", help="draw what confidences are worth, as HTML")
    verb.add_argument("--threads", type=int, default=_threads(), help="cores to train with; 0 = as configured")

    verb = _verb(verbs, "recommend", "recommend to users", commands.recommend)
    verb.add_argument("users", nargs="*", metavar="USER", help="user ids; none = an anonymous user")
    verb.add_argument("-n", type=int, default=10, help="items wanted (default: 10)")
    verb.add_argument("--filter", metavar="EXPR", help="such as 'price < 50 and category in [\"shoes\"]'")
    seen = verb.add_mutually_exclusive_group()
    seen.add_argument("--include-seen", action="store_true", help="also what the user has seen")
    seen.add_argument("--exclude-seen", nargs="+", metavar="TYPE", help="leave out only what these events touched")
    for which in ("any", "all", "none"):
        verb.add_argument(f"--categories-{which}", nargs="+", default=[], metavar="CATEGORY")
    verb.add_argument("--allow", nargs="+", metavar="ITEM", help="only these")
    verb.add_argument("--deny", nargs="+", default=[], metavar="ITEM", help="none of these")
    verb.add_argument("--pins", nargs="+", default=[], metavar="ITEM", help="these first")
    verb.add_argument("--caps", nargs="+", default=[], metavar="ATTRIBUTE=N", help="at most N with the same value")
    verb.add_argument("--diversity", type=float, metavar="0..1", help="0 = relevance only, 1 = variety only")
    verb.add_argument("--deadline-ms", type=float, metavar="MS", help="answer by then, with less if need be")
    verb.add_argument("--explain", action="store_true", help="say why, in words")

    verb = _verb(verbs, "similar", "items like an item, or users like a user", commands.similar)
    verb.add_argument("id", help="an item id, or a user id with --user")
    verb.add_argument("--user", action="store_true", help="ID is a user")
    verb.add_argument("-n", type=int, default=10)

    verb = _verb(verbs, "explain", "why an item would, or would not, be shown", commands.explain)
    verb.add_argument("user")
    verb.add_argument("item")

    verb = _verb(verbs, "export", "recommendations for all or listed users, into a file", commands.export)
    verb.add_argument("--out", type=Path, required=True, metavar="FILE", help=".parquet, .csv or .jsonl")
    verb.add_argument("--users", type=Path, metavar="FILE", help="one user id a line (default: all users)")
    verb.add_argument("-n", type=int, default=10)
    verb.add_argument("--filter", metavar="EXPR")

    _evaluate(verbs)
    _tune(verbs)
    _features(verbs)
    _index(verbs)
    _live(verbs)

    verb = _verb(verbs, "models", "deployments: list, show, promote, rollback", operate.models, directory=False)
    verb.add_argument("action", choices=("list", "show", "promote", "rollback"))
    verb.add_argument("dir", type=Path, help="the data directory")
    verb.add_argument("version", nargs="?", help="of show and promote (default of show: the live one)")

    _verb(verbs, "backup", "copy a data directory, verified", operate.backup).add_argument("target", type=Path)
    verb = _verb(verbs, "restore", "make a data directory from a backup", operate.restore, directory=False)
    verb.add_argument("source", type=Path, help="a backup")
    verb.add_argument("dir", type=Path, help="the new data directory")

    verb = _verb(verbs, "config", "print every configuration key with its value", operate.config, directory=False)
    verb.add_argument("dir", nargs="?", type=Path, help="a data directory (default: the defaults)")
    _verb(verbs, "doctor", "check a data directory and this installation", operate.doctor)
    return parser


def _evaluate(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _verb(
        verbs, "evaluate", "train and judge on files: the scientist's door", evaluate.evaluate, directory=False
    )
    verb.add_argument("--train", nargs="+", metavar="FILE")
    verb.add_argument("--test", nargs="+", metavar="FILE")
    verb.add_argument("--log", nargs="+", metavar="FILE", help="one ordered log instead of --train and --test")
    verb.add_argument("--protocol", choices=PROTOCOLS, default="leave-one-out", help="how --log is split")
    verb.add_argument("--users", nargs="+", metavar="FILE", help="attributes of users, for cold-users")
    verb.add_argument("--items", nargs="+", metavar="FILE", help="attributes of items, for cold-users")
    verb.add_argument("--share", type=float, default=0.2, help="of the users that cold-users holds out (default: 0.2)")
    verb.add_argument("--columns", nargs="+", default=[], metavar="ROLE=COLUMN")
    verb.add_argument(
        "--algorithm",
        default="default",
        help="als, item_knn, user_knn, popularity, or default: the engine as a user gets it",
    )
    verb.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of the algorithm, such as factors=128"
    )
    verb.add_argument("--at", type=int, default=20)
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--threads", type=int, default=_threads(), help="0 = all cores")


def _tune(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _verb(verbs, "tune", "search better settings of a model, on a validation part", tune.tune, directory=False)
    verb.add_argument("dir", nargs="?", type=Path, help="the data directory; none with --train")
    verb.add_argument("--train", nargs="+", metavar="FILE", help="files instead; nothing of a test side is looked at")
    verb.add_argument("--columns", nargs="+", default=[], metavar="ROLE=COLUMN")
    verb.add_argument("--model", help="name of a `[[model]]`, with --train its kind (default: the first one, als)")
    verb.add_argument("--trials", type=int, default=27, metavar="N", help="settings to try (default: 27)")
    verb.add_argument("--file", type=Path, help="takes a line for each trial (default: tune-MODEL.jsonl)")
    verb.add_argument("--resume", action="store_true", help="go on with what the file holds")
    verb.add_argument("--out", type=Path, metavar="TOML", help="write the configuration with the best settings there")
    verb.add_argument("--at", type=int, help="cut-off of the metric (default: `training.at`)")
    verb.add_argument("--seed", type=int, help="(default: `training.seed`)")
    verb.add_argument("--threads", type=int, default=_threads(), help="cores to train with; 0 = as configured")


def _features(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "features: what is computed of users and items"
    actions = verbs.add_parser("features", help=text, description=text[0].upper() + text[1:] + ".").add_subparsers(
        title="actions", metavar="ACTION", required=True
    )
    _verb(actions, "list", "every definition, and what the live deployment does with it", features.definitions)
    verb = _verb(actions, "show", "one definition, whole", features.show_one)
    verb.add_argument("name", help="of the feature")
    verb.add_argument("--item", nargs="+", default=[], metavar="ITEM", help="and its value for these")
    verb.add_argument("--user", metavar="USER", help="with this user (default: one of whom nothing is known)")
    verb.add_argument("--at", type=datetime.fromisoformat, metavar="WHEN", help="as of a past moment (default: now)")
    verb = _verb(actions, "build", "write the training table into a file", features.build)
    verb.add_argument("--out", type=Path, required=True, metavar="FILE", help=".parquet")
    verb.add_argument("--rows", type=int, metavar="N", help="the latest N rows (default: `features.rows`)")
    verb.add_argument("--as-of", type=_order, metavar="WHEN", help="as if nothing later had happened")
    verb.add_argument("--threads", type=int, default=_threads(), help="cores to compute with; 0 = as configured")

    _verb(
        actions, "materialize", "evaluate queries and sources of features again, and keep it", features.materialize
    )
    verb = _verb(actions, "report", "describe all features on one page: spread, drift, importance", features.report)
    verb.add_argument("--out", type=Path, default=Path("features.html"), metavar="FILE", help="default: features.html")
    verb.add_argument("--rows", type=int, metavar="N", help="of the training table at most (default: `features.rows`)")
    verb.add_argument("--threads", type=int, default=_threads(), help="cores to compute with; 0 = as configured")


def _index(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "index: the nearest neighbours of a vector"
    actions = verbs.add_parser("index", help=text, description=text[0].upper() + text[1:] + ".").add_subparsers(
        title="actions", metavar="ACTION", required=True
    )
    verb = _verb(actions, "report", "recall against time and memory, of every kind over the live vectors", index.report)
    verb.add_argument("--out", type=Path, metavar="FILE", help="draw the curves: .html or .svg")
    verb.add_argument("--kinds", nargs="+", choices=KINDS, metavar="KIND", help=f"only these of {', '.join(KINDS)}")
    verb.add_argument("--queries", type=int, default=QUERIES, metavar="N", help=f"users that ask (default: {QUERIES})")
    verb.add_argument("--threads", type=int, default=_threads(), help="cores to build with; 0 = as configured")


def _live(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = _verb(verbs, "serve", "answer over HTTP until Ctrl-C or SIGTERM", serve.serve)
    verb.add_argument("--host", help="address to listen on (default: `server.host`, 127.0.0.1)")
    verb.add_argument("--port", type=int, help="(default: `server.port`, 8000)")
    verb.add_argument(
        "--key-file", type=Path, metavar="FILE", help="the API key stands here; it is made where FILE does not exist"
    )

    verb = _verb(verbs, "record", "store what users did, durably and felt at once", live.record, directory=False)
    verb.add_argument("dir", nargs="?", type=Path, help="the data directory; none with --url")
    verb.add_argument("--user", metavar="ID")
    verb.add_argument("--item", metavar="ID")
    verb.add_argument("--type", metavar="TYPE", help="such as view, click, purchase (default: interaction)")
    verb.add_argument("--value", type=float, help="a rating or an amount")
    verb.add_argument("--order", type=_order, metavar="WHEN", help="a time, or a number that sorts (default: now)")
    verb.add_argument("--event-id", metavar="ID", help="makes a repeated delivery count once")
    verb.add_argument("--session-id", metavar="ID", help="the visit that it belongs to")
    verb.add_argument("--request-id", metavar="ID", help="the reply in which the item was shown")
    verb.add_argument("--file", metavar="FILE", help="JSON lines with the fields of an event; - is stdin")
    verb.add_argument("--url", help="tell a running server instead, such as http://127.0.0.1:8000")
    verb.add_argument(
        "--key", default=os.environ.get("RECENGINE_API_KEY"), help="its API key (default: $RECENGINE_API_KEY)"
    )

    verb = _verb(verbs, "forget", "forget a user in every home of user data", live.forget)
    verb.add_argument("user", help="a user id")


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
    run: object,
    *,
    directory: bool = True,
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    verb.set_defaults(run=run)
    if directory:
        verb.add_argument("dir", type=Path, help="the data directory")
    verb.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return verb


def _threads() -> int:
    text = os.environ.get("RECENGINE_THREADS", "0")
    return int(text) if text.isdigit() else 0


def _order(text: str) -> int | str:
    return int(text) if text.removeprefix("-").isdecimal() and text.isascii() else text
