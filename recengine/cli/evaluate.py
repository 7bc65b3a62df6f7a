"""`recengine evaluate`: the scientist's door. Files in, one JSON line of metrics out."""

from argparse import Namespace
from typing import Any

from recengine.cli import show
from recengine.cli.commands import pairs, pooled
from recengine.errors import BadUsage
from recengine.jobs.evaluate import evaluate_log, evaluate_split

__all__ = ("evaluate",)


def evaluate(args: Namespace) -> None:
    """Train on one part, rank all items for every user of the other, and print the metrics."""
    if bool(args.log) == bool(args.train or args.test) or bool(args.train) != bool(args.test):
        raise BadUsage("evaluate: expected --train and --test, or --log", hint="see `recengine evaluate --help`")
    options: dict[str, Any] = {
        "columns": pairs(args.columns, "--columns"),
        "algorithm": args.algorithm,
        "settings": pairs(args.set, "--set"),
        "at": args.at,
        "seed": args.seed,
        "threads": args.threads,
    }
    with show.progress(args.json) as progress:
        if args.log:
            described = {"users": args.users, "items": args.items, "share": args.share}
            answer = evaluate_log(args.log, protocol=args.protocol, progress=progress, **described, **options)
        else:
            answer = evaluate_split(args.train, args.test, progress=progress, **options)

    def human() -> None:
        show.line(f"{answer['algorithm']}, {answer['users']} users; set: {', '.join(args.set) or 'nothing'}")
        if "popularity" in answer:
            beside = [(answer["popularity"][m], *answer["differences"].get(m, (None,) * 3)) for m in answer["metrics"]]
            rows = [[m, v, *more] for (m, v), more in zip(answer["metrics"].items(), beside, strict=True)]
            show.table(["metric", "value", "popularity", "difference", "from", "to"], rows)
        elif "global_mean" in answer:
            rows = [[m, v, answer["biases"][m], answer["global_mean"][m]] for m, v in answer["metrics"].items()]
            show.table(["metric", "value", "biases alone", "global mean"], rows)
        else:
            show.table(["metric", "value"], list(answer["metrics"].items()))
        if "weights" in answer:
            show.line("chosen weights: " + ", ".join(f"{name} {w:.3f}" for name, w in answer["weights"].items()))
        if "pool" in answer:
            pooled(answer["pool"])
        fit, recommend, peak = (answer[key] for key in ("fit_seconds", "recommend_seconds", "peak_rss_mb"))
        show.line(f"fit {fit:.2f} s, recommend {recommend:.2f} s, peak {peak:.0f} MB")

    show.result(args.json, answer, human)
