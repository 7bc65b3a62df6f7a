"""Judge every algorithm by the published protocols: full ranking, every user, seen items left out. The README's table.

Each row is one call of what `recengine evaluate` calls. Settings are the defaults, or those of `TUNED`, which were
chosen with `--validation`: on a part held out of the training data (bench/held_out.py), never on what is judged here.
Published figures of the same splits stand in the README; most of them are partly tuned on the test part. Kinds that
this installation cannot train are named and left out.

    python -m bench.accuracy                           the whole table: about 15 minutes on two cores
    python -m bench.accuracy --data gowalla --only als,default
    python -m bench.accuracy --validation              what choices are made by: no test part is read
    python -m bench.accuracy --write README.md         put the table between its two marks
"""

import importlib.util
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench import data
from bench.harness import arguments, report
from bench.held_out import by_chance, without_last
from recengine.jobs.evaluate import DEFAULT, evaluate_log, evaluate_split

ALGORITHMS = (
    DEFAULT, "graph_filter", "ease", "als", "bpr", "svd", "nmf", "item_knn", "user_knn", "neural_cf", "popularity",
)  # fmt: skip
TUNED: dict[tuple[str, str], dict[str, Any]] = {
    ("gowalla", DEFAULT): {
        "als.factors": 256, "als.epochs": 5, "als.regularization_exponent": 2, "als.regularization": 7e-6,
        "als.unobserved_weight": 0.0132,
    },
    ("gowalla", "als"): {
        "factors": 256, "epochs": 5, "regularization_exponent": 2, "regularization": 7e-6, "unobserved_weight": 0.0132,
    },
    ("gowalla", "bpr"): {"hardest_of": 32, "epochs": 70, "learning_rate": 0.15, "regularization": 0.02},
    ("gowalla", "svd"): {"factors": 256},
}  # fmt: skip
"""(data, algorithm) -> settings that a second row is shown for."""
RATING_SEEDS = 5
MARKS = ("<!-- accuracy -->", "<!-- /accuracy -->")


def gowalla(small: bool, validation: bool) -> Iterator[tuple[str, Any, int]]:
    """Name the protocol, say how to evaluate, and the cut-off."""
    train = pq.read_table(data.require("gowalla/train.parquet"))
    test = None if validation else pq.read_table(data.require("gowalla/test.parquet"))
    if test is None:
        train, test = by_chance(train, "user")
    if small:
        train, test = (part.filter(pc.less(part["user"], 500)) for part in (train, test))
    columns = {"user": "user", "item": "item"}
    yield "LightGCN split", lambda kind, how: evaluate_split(train, test, columns, kind, how, at=20), 20


def ml1m(small: bool, validation: bool) -> Iterator[tuple[str, Any, int]]:
    """Leave the last one out, in the order of `pos`."""
    log = pq.read_table(data.require("ml1m/sequences.parquet"), columns=["user_id", "movie_id", "pos"])
    if small:
        log = log.filter(pc.less(log["user_id"], 300))
    if validation:
        log = without_last(log, "user_id", "pos")
    columns = {"user": "user_id", "item": "movie_id", "order": "pos"}
    yield "leave-last-out", lambda kind, how: evaluate_log(log, columns, kind, how, at=10), 10


def ml100k(small: bool, validation: bool) -> Iterator[tuple[str, Any, int]]:
    """One moment for all users (the last tenth of the ratings is judged by), and leave-last-out."""
    log = pq.read_table(data.require("ml100k/ratings.parquet"))
    if small:
        log = log.filter(pc.less(log["user_id"], 200))
    if validation:
        log = without_last(log, "user_id", "timestamp")
        log = log.filter(pc.less_equal(log["timestamp"], pc.quantile(log["timestamp"], q=0.9)[0]))
    moment = pc.quantile(log["timestamp"], q=0.9)[0]
    before = pc.less_equal(log["timestamp"], moment)
    train, test = log.filter(before), log.filter(pc.invert(before))
    columns = {"user": "user_id", "item": "item_id", "order": "timestamp"}
    yield "time, last tenth", lambda kind, how: evaluate_split(train, test, columns, kind, how, at=10), 10
    yield "leave-last-out", lambda kind, how: evaluate_log(log, columns, kind, how, at=10), 10


def beauty(small: bool, validation: bool) -> Iterator[tuple[str, Any, int]]:
    """Leave the last one out, in the order of `pos`."""
    log = pq.read_table(data.require("s3rec_beauty/sequences.parquet"), columns=["user", "item", "pos"])
    if small:
        log = log.filter(pc.less(log["user"], 500))
    if validation:
        log = without_last(log, "user", "pos")
    columns = {"user": "user", "item": "item", "order": "pos"}
    yield "leave-last-out", lambda kind, how: evaluate_log(log, columns, kind, how, at=10), 10


DATA = {"gowalla": gowalla, "ml1m": ml1m, "ml100k": ml100k, "beauty": beauty}
TITLES = {"gowalla": "Gowalla", "ml1m": "MovieLens 1M", "ml100k": "MovieLens 100K", "beauty": "Amazon Beauty (S3-Rec)"}


def measure(args) -> dict[str, Any]:
    """Evaluate what `--data` and `--only` name."""
    wanted = [kind for kind in ALGORITHMS if not args.only or kind in args.only.split(",")]
    left_out = [kind for kind in wanted if kind == "neural_cf" and importlib.util.find_spec("torch") is None]
    rows = []
    for name in args.data.split(",") if args.data else DATA:
        for protocol, run, at in DATA[name](args.small, args.validation):
            for kind in wanted:
                if kind not in left_out:
                    rows += [row(name, protocol, kind, how, run(kind, how), at) for how in settings(name, kind)]
    return {"rows": rows, "left_out": left_out, "ratings": ratings(args.small) if not args.only else None}


def settings(name: str, kind: str) -> list[dict[str, Any]]:
    """List the settings that `kind` gets a row for."""
    return [{}, *([TUNED[name, kind]] if (name, kind) in TUNED else [])]


def row(name: str, protocol: str, kind: str, how: dict[str, Any], answer: dict[str, Any], at: int) -> dict[str, Any]:
    found = {metric: round(answer["metrics"][f"{metric}@{at}"], 4) for metric in ("recall", "ndcg", "coverage")}
    costs = {cost: round(answer[f"{cost}_seconds"], 2) for cost in ("fit", "recommend")}
    shares = {"weights": answer["weights"]} if "weights" in answer else {}
    return {
        "data": name,
        "protocol": protocol,
        "algorithm": kind,
        "settings": how,
        "at": at,
        **found,
        **costs,
        **shares,
    }


def ratings(small: bool) -> dict[str, Any]:
    """Predict held-out ratings of MovieLens 100K: a random tenth, RMSE over several seeds."""
    log = pq.read_table(data.require("ml100k/ratings.parquet"))
    if small:
        log = log.filter(pc.less(log["user_id"], 200))
    columns = {"user": "user_id", "item": "item_id", "value": "rating", "order": "timestamp"}
    answers = [
        evaluate_log(log, columns, "funk_svd", protocol="ratings", seed=seed)["metrics"] for seed in range(RATING_SEEDS)
    ]
    return {name: round(statistics.mean(answer[name] for answer in answers), 4) for name in answers[0]}


def markdown(answer: dict[str, Any]) -> str:
    """Lay the rows out as the README shows them; the best of each column of a protocol is bold."""
    lines = ["| data, protocol | algorithm | recall | ndcg | fit | rank all |", "|---|---|---|---|---|---|"]
    shown, notes = "", []
    for line in answer["rows"]:
        title = f"{TITLES[line['data']]}, {line['protocol']}, @{line['at']}"
        among = [r for r in answer["rows"] if (r["data"], r["protocol"]) == (line["data"], line["protocol"])]
        figures = [figure(line[metric], max(r[metric] for r in among)) for metric in ("recall", "ndcg")]
        name = line["algorithm"] if line["algorithm"] == DEFAULT else f"`{line['algorithm']}`"
        if line["settings"]:
            notes.append(" ".join(f"{key}={value}" for key, value in line["settings"].items()))
            name += f", tuned on a held-out part [{len(notes)}]"
        costs = f"{line['fit']:.1f} s | {line['recommend']:.1f} s"
        lines.append(f"| {title if title != shown else ''} | {name} | {' | '.join(figures)} | {costs} |")
        shown = title
    lines += ["", *(f"[{k}] `--set {note}`." for k, note in enumerate(notes, 1))]
    if answer["ratings"]:
        told = ", ".join(f"{name} {value:.4f}" for name, value in answer["ratings"].items())
        lines += ["", f"Ratings of MovieLens 100K, `funk_svd`, random 90/10, mean of {RATING_SEEDS} seeds: {told}."]
    return "\n".join(lines)


def figure(value: float, best: float) -> str:
    text = f"{value:.4f}".removeprefix("0")
    return f"**{text}**" if value == best else text


def write(path: Path, table: str) -> None:
    """Replace what stands between the marks, whole or not at all."""
    before, mark, rest = path.read_text(encoding="utf-8").partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not mark or not end:
        raise SystemExit(f"{path} lacks the marks {MARKS[0]} and {MARKS[1]}")
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as new:
        new.write(f"{before}{mark}\n{table}\n{end}{after}")
    Path(new.name).replace(path)


def main() -> None:
    args = arguments(__doc__, data="", only="", write="", validation=False)
    if args.write and args.validation:
        raise SystemExit("--write shows what the test part says: leave --validation out")
    unknown = [name for name in args.data.split(",") if name and name not in DATA]
    if unknown:
        raise SystemExit(f"no data {', '.join(unknown)}; known: {', '.join(DATA)}")
    answer = measure(args)
    table = markdown(answer)
    if args.write:
        write(Path(args.write), table)
    elif not args.json:
        print(table)
    report("accuracy", args, **answer)


if __name__ == "__main__":
    main()
